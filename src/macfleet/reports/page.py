"""The HTML report: one file without a request or a script, verdict first, method last."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cache

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from macfleet.analysis.traces import Trace
from macfleet.reports import charts, trace_charts
from macfleet.reports.comparison import NOT_A_MAC, Comparison
from macfleet.reports.drawing import Chart
from macfleet.reports.layout import lay_out
from macfleet.reports.markdown import METHOD
from macfleet.reports.page_style import STYLE

_CLASSES = {"✓": "good", "!": "bad", "✗": "bad"}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>{{ title }}</title>
<style>{{ style }}</style>
</head>
<body>
<a class="skip" href="#figures">Skip to the figures</a>
<header>
<h1>{{ title }}</h1>
<p class="lead">{{ layout.head }}</p>
</header>
<main>
{% for notice in notices %}<p class="notice" role="note">{{ notice }}</p>
{% endfor %}<section aria-labelledby="verdict">
<h2 id="verdict">Verdict</h2>
<ul class="verdicts">
{% for verdict in layout.verdicts %}<li class="{{ classes.get(verdict.symbol, 'open') }}">
<strong><span aria-hidden="true">{{ verdict.symbol }}</span> {{ verdict.node }}: {{ verdict.text }}</strong>
{% if verdict.why or verdict.invalid %}<ul>
{% for sentence in verdict.why + verdict.invalid %}<li>{{ sentence }}</li>
{% endfor %}</ul>{% endif %}
{% if verdict.mend %}<p>{{ next_step(verdict.mend) }}</p>{% endif %}
</li>
{% endfor %}</ul>
</section>
<section aria-labelledby="environment">
<h2 id="environment">What differed around it</h2>
<ul>{% for line in layout.environment %}<li>{{ line }}</li>
{% endfor %}</ul>
{% if layout.same %}<details><summary>What did not</summary>
<p>{{ layout.same | join(", ") }}</p></details>{% endif %}
</section>
<section aria-labelledby="figures">
<h2 id="figures">Figures</h2>
<div class="scroll" tabindex="0" role="region" aria-label="All figures">
<table>
<thead><tr><th scope="col"></th>
{% for name in layout.titles %}<th scope="col">{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for section in layout.sections %}
<tr class="section">
<th scope="rowgroup" colspan="{{ layout.titles | length + 1 }}">{{ section.title }}</th></tr>
{% for row in section.rows %}
<tr><th scope="row">{{ row.label }}</th>{% for text in row.texts %}<td>{{ text }}</td>{% endfor %}</tr>
{% endfor %}{% endfor %}</tbody>
</table>
</div>
{% for chart in overall %}{{ figure(chart) }}{% endfor %}
</section>
{% for node, drawn in nodes %}
<section aria-labelledby="node-{{ loop.index }}">
<h2 id="node-{{ loop.index }}">{{ node }}</h2>
{% for chart in drawn %}{{ figure(chart) }}{% endfor %}
</section>
{% endfor %}
<section aria-labelledby="evidence">
<h2 id="evidence">Evidence</h2>
<ul>{% for line in layout.evidence %}<li><code>{{ line }}</code></li>
{% endfor %}</ul>
</section>
<section aria-labelledby="method" class="method">
<h2 id="method">Method</h2>
<p>{{ method }}</p>
</section>
</main>
</body>
</html>
"""
_FIGURE = """<figure aria-labelledby="{{ chart.name }}">
<h3 id="{{ chart.name }}">{{ chart.title }}</h3>
<div class="wide">{{ wide }}</div>
<div class="narrow">{{ narrow }}</div>
<figcaption>{{ chart.about }}</figcaption>
<details><summary>The same as a table</summary>
<div class="scroll" tabindex="0" role="region" aria-label="{{ chart.title }}: table">
<table><thead><tr>{% for name in chart.head %}<th scope="col">{{ name }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in chart.rows %}<tr>{% for text in row %}<td>{{ text }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table>
</div></details>
</figure>
"""


def html(comparison: Comparison, traces: Sequence[Trace] = (), line: float = 0.18) -> str:
    """Return the report as one file.

    Args:
        comparison: what is compared.
        traces: raw records of its nodes, where they were kept; a node without them has no figures of its own.
        line: the `mounts-first` threshold as a share of tokens/s, drawn into the forest plot.
    """
    layout = lay_out(comparison)
    overall = [charts.forest(comparison, line), charts.percentiles(comparison), *charts.costs(comparison)]
    notices = [*layout.notices]
    if comparison.simulated and not any(NOT_A_MAC in notice for notice in notices):
        notices.insert(0, NOT_A_MAC)
    return _template(_PAGE).render(
        title=f"Comparison by {comparison.by}",
        style=Markup(STYLE),  # noqa: S704  (a constant of ours)
        layout=layout,
        notices=notices,
        classes=_CLASSES,
        overall=[chart for chart in overall if chart is not None],
        nodes=[(_heading(each, traces), list(_of_node(each, comparison))) for each in traces],
        figure=_figure,
        next_step=_next_step,
        method=METHOD,
    )


def _of_node(trace: Trace, comparison: Comparison) -> Iterable[Chart]:
    cells = [
        cell
        for column in comparison.columns
        if (column.run, column.node) == (trace.run, trace.node)
        for cell in column.cells
        if not math.isnan(cell.errors)
    ]
    drawn = (
        trace_charts.distributions(trace),
        trace_charts.timeline(trace),
        trace_charts.first_tokens(trace),
        trace_charts.errors(f"{trace.run}-{trace.node}", cells),
        trace_charts.validity(trace),
    )
    return (chart for chart in drawn if chart is not None)


def _heading(trace: Trace, traces: Sequence[Trace]) -> str:
    repeated = sum(other.node == trace.node for other in traces) > 1
    return f"{trace.node} · {trace.run}" if repeated else trace.node


def _figure(chart: Chart) -> Markup:
    """Put a drawing into the page; matplotlib escaped the texts in it, the rest is escaped here."""
    wide, narrow = (Markup(svg) for svg in (chart.wide, chart.narrow))  # noqa: S704
    return Markup(_template(_FIGURE).render(chart=chart, wide=wide, narrow=narrow))  # noqa: S704


def _next_step(mend: str) -> Markup:
    """Words, then the command as something to copy."""
    words, colon, command = mend.partition(": ")
    if not colon:
        return Markup("<code>{}</code>").format(mend)
    return Markup("{}: <code>{}</code>").format(words, command)


@cache
def _template(text: str) -> Template:
    return Environment(autoescape=True, undefined=StrictUndefined).from_string(text)
