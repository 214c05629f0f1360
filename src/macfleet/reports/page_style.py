"""The style sheet of the HTML report: light, dark, print, desk and telephone."""

STYLE = """
:root{--ink:#1b1f24;--muted:#57606a;--grid:#e4e7eb;--paper:#fff;--shade:#f4f6f8;--alarm:#b3261e;
--link:#0b57a4;--good:#1a6b3c;--arm-bare:#0072b2;--arm-container:#c24e00;--arm-bare-cpu:#007a5a;
--arm-host-engine:#a8558a;--arm-remote:#9a6a00}
@media (prefers-color-scheme:dark){:root{--ink:#e8eaed;--muted:#a7b0ba;--grid:#343a41;--paper:#15181c;
--shade:#1e2328;--alarm:#ff8a80;--link:#8ab4f8;--good:#81c995;--arm-bare:#56b4e9;--arm-container:#ff8c42;
--arm-bare-cpu:#2fc79a;--arm-host-engine:#e5a0cc;--arm-remote:#f0c04a}}
*{box-sizing:border-box}
html{color-scheme:light dark;-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:940px;padding:1.5rem 1.25rem 4rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
h1{font-size:1.6rem;line-height:1.2;margin:0 0 .25rem}
h2{font-size:1.2rem;margin:2.25rem 0 .5rem;padding-top:.5rem;border-top:1px solid var(--grid)}
h3{font-size:1rem;margin:1.5rem 0 .25rem}
p,ul{margin:.4rem 0}
a{color:var(--link)}
a:focus-visible,summary:focus-visible,.scroll:focus-visible{outline:3px solid var(--link);outline-offset:2px}
.skip{position:absolute;left:-999px}.skip:focus{position:static}
.lead,.about,figcaption,.method{color:var(--muted)}
.notice{border-left:4px solid var(--alarm);background:var(--shade);padding:.5rem .75rem;margin:.5rem 0}
.verdicts{list-style:none;padding:0;margin:.75rem 0;display:grid;gap:.6rem}
.verdicts>li{border:1px solid var(--grid);
border-left:6px solid var(--muted);border-radius:6px;padding:.6rem .8rem}
.verdicts>.good{border-left-color:var(--good)}.verdicts>.bad{border-left-color:var(--alarm)}
.verdicts strong{font-size:1.05rem}
.verdicts ul{margin:.3rem 0 0;padding-left:1.2rem;color:var(--muted);font-size:.92rem}
code{font:.9em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:var(--shade);
padding:.1em .35em;border-radius:4px;overflow-wrap:anywhere}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.92rem;min-width:100%}
th,td{padding:.3rem .6rem;text-align:right;border-bottom:1px solid var(--grid);white-space:nowrap;
font-variant-numeric:tabular-nums}
th:first-child,td:first-child{text-align:left}
thead th{color:var(--muted);font-weight:600;vertical-align:bottom}
tbody th{font-weight:400}
tr.section th{background:var(--shade);font-weight:600;text-align:left}
figure{margin:1.25rem 0}
figcaption{font-size:.92rem;margin-top:.25rem}
figure svg{width:100%;height:auto;display:block;stroke-linejoin:round;stroke-linecap:butt}
figure .narrow{display:none}
@media (max-width:640px){figure .wide{display:none}figure .narrow{display:block}body{padding:1rem .9rem 3rem}
table{font-size:.8rem}th,td{padding:.3rem .4rem}
tbody th{position:sticky;left:0;background:var(--paper);white-space:normal}}
details{margin:.4rem 0}
summary{cursor:pointer;color:var(--link);width:fit-content;padding:.15rem 0}
@media print{:root{--ink:#000;--muted:#333;--grid:#bbb;--paper:#fff;--shade:#eee;--alarm:#9b1c14;--link:#000;
--good:#0b5a2b;--arm-bare:#0072b2;--arm-container:#c24e00;--arm-bare-cpu:#007a5a;--arm-host-engine:#a8558a;
--arm-remote:#9a6a00}body{max-width:none;font-size:11pt;padding:0}figure,.verdicts>li,tr{break-inside:avoid}
figure .wide{display:block}figure .narrow{display:none}.skip,details{display:none}}
"""
