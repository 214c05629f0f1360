"""Power, limits, disks, firewall, logs and times: what is refused at the border, and what their texts say."""

import plistlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scratch_mac import ScratchMac

from macfleet.documents import Document, validate
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.node import Endpoint, Node
from macfleet.model.resource import Action, ProbeOutput, Put, Run
from macfleet.resources import KINDS, Surroundings
from macfleet.resources.cron import parse_schedule

PARAMS = {kind.kind: kind for kind in KINDS}
BASE = {
    "docker_image": {"image": "engine"},
    "command": {"run": "true", "unless": "false"},
    "power_setting": {"sleep": 0},
    "sysctl_limit": {"name": "maxfiles", "value": 65536},
    "mount_check": {"path": "/Users/ops"},
    "firewall_rule": {"name": "engine", "action": "deny", "port": 8080},
    "log_rotation": {"name": "boot", "paths": ["/Users/ops/logs/boot.log"], "size": "5MiB"},
    "cron": {"name": "note", "schedule": "@daily", "run": "/bin/date"},
    "launchd_timer": {"label": "com.example.trim", "program": ["/usr/bin/true"], "every": "15m"},
}


def built(kind, *, port=22, **params):
    checked = validate(Document({**BASE[kind], **params}, "case"), PARAMS[kind], kind=kind)
    return checked.build(Surroundings(Node("mac-01", Endpoint("mac-01.example", port=port))))


@pytest.fixture
def mac(tmp_path):
    return ScratchMac(tmp_path / "mac")


REFUSED = [
    ("docker_image", {"profile": "../default"}, "not a profile"),
    ("command", {"run": ["/bin/echo", "a\0b"]}, "cannot hold a NUL byte"),
    ("command", {"unless": "a\0b"}, "cannot hold a NUL byte"),
    ("power_setting", {"sleep": None}, "name at least one setting"),
    ("power_setting", {"sleep": True}, "write minutes, 0 for never"),
    ("power_setting", {"sleep": "90s"}, "not a whole number of minutes"),
    ("power_setting", {"displayslep": 3}, 'did you mean "displaysleep"?'),
    ("power_setting", {"hibernatemode": 7}, "Input should be 0, 3 or 25"),
    ("sysctl_limit", {"name": "maxfile"}, "neither maxfiles nor maxproc nor a name of sysctl"),
    ("sysctl_limit", {"value": None}, "value: is missing"),
    ("sysctl_limit", {"value": 10**30}, "less than or equal to"),
    ("sysctl_limit", {"hard": 1024}, "hard limit 1024 is below"),
    ("sysctl_limit", {"name": "kern.maxfiles", "hard": 70000}, "only maxfiles and maxproc have a hard limit"),
    ("sysctl_limit", {"name": "kern.maxfiles=1; reboot"}, "a name of sysctl"),
    ("mount_check", {"path": "models"}, "not an absolute path"),
    ("mount_check", {"free": "much"}, "not a number"),
    ("firewall_rule", {"action": "allow"}, "allow needs sources"),
    ("firewall_rule", {"action": None}, "action missing"),
    ("firewall_rule", {"sources": ["10.0.0.1/8"]}, "has host bits set"),
    ("firewall_rule", {"sources": ["gateway.example"]}, "does not appear to be an IPv4 or IPv6 network"),
    ("firewall_rule", {"name": 'x" pass'}, "not a name"),
    ("log_rotation", {"paths": []}, "paths: is missing"),
    ("log_rotation", {"size": None}, "give size, every or both"),
    ("log_rotation", {"paths": ["/Users/ops/my logs/x"]}, "holds a space"),
    ("log_rotation", {"paths": ["/Users/ops/#1"]}, "holds a space, #"),
    ("log_rotation", {"name": "../x"}, "not a name"),
    ("cron", {"run": ()}, "one line a command"),
    ("cron", {"schedule": "* * * *"}, "has 4 fields"),
    ("cron", {"run": "a\nb"}, "one line a command"),
    ("cron", {"run": "/bin/date +\\%s"}, "write % without a backslash"),
    ("cron", {"run": ["/bin/echo", "a\\\\b"]}, "two of them into a file"),
    ("cron", {"user": "ops; id"}, "not a user"),
    ("launchd_timer", {"at": [{"hour": 3}]}, "exactly one of every and at"),
    ("launchd_timer", {"every": None}, "exactly one of every and at"),
    ("launchd_timer", {"program": []}, "program: is missing"),
    ("launchd_timer", {"program": ["/a", "\x1b"]}, "a property list cannot carry"),
    ("launchd_timer", {"environment": {"A": "\r"}}, "a property list cannot carry"),
    ("launchd_timer", {"environment": {"A=B": "c"}}, "not the name of a variable"),
    ("launchd_timer", {"stdout": "/a\x1b[2J"}, "control character"),
    ("launchd_timer", {"every": "9000d"}, "less than or equal to"),
    ("launchd_timer", {"every": "5s"}, "greater than or equal to 10"),
    ("launchd_timer", {"every": None, "at": [{}]}, "at least one part of a time"),
    ("launchd_timer", {"every": None, "at": [{"weekdays": "sunday"}]}, 'did you mean "weekday"?'),
]


@pytest.mark.parametrize(("kind", "params", "words"), REFUSED)
def test_what_cannot_be_meant_is_refused_with_words(kind, params, words):
    with pytest.raises(MacfleetError) as refused:
        built(kind, **params)
    assert words in "\n".join(f"{each.summary} {each.mend}" for each in refused.value.diagnostics)


NAMES = [
    ("archive", "sha256", "0" * 64),
    ("brew_formula", "name", "colima"),
    ("colima_instance", "profile", "default"),
    ("compose_project", "name", "chat"),
    ("cron", "name", "note"),
    ("cron", "user", "ops"),
    ("download", "sha256", "0" * 64),
    ("file", "mode", "0644"),
    ("file", "owner", "ops:staff"),
    ("file", "path", "/a"),
    ("firewall_rule", "name", "engine"),
    ("homebrew_tap", "name", "team/tools"),
    ("homebrew_tap", "commit", "1" * 40),
    ("homebrew_tap", "url", "https://git.example/tools"),
    ("launchd_timer", "label", "com.example.trim"),
    ("log_rotation", "name", "boot"),
    ("sysctl_limit", "name", "kern.maxfiles"),
    ("user_default", "domain", "com.example"),
    ("user_default", "key", "k"),
]


@pytest.mark.parametrize(("kind", "field", "name"), NAMES)
def test_a_name_with_the_line_break_of_a_block_of_yaml_is_no_name(kind, field, name):
    def problems(value):
        with pytest.raises(MacfleetError) as refused:
            validate(Document({field: value, "": 0}, "case"), PARAMS[kind], kind=kind)
        return [each for each in refused.value.diagnostics if f'"{field}" for' in each.summary]

    assert not problems(name)
    assert problems(f"{name}\n")


@pytest.mark.parametrize("closed", [22, 2222])
def test_a_rule_for_the_port_of_ssh_is_refused(closed):
    checked = validate(Document({**BASE["firewall_rule"], "port": closed}, "case"), PARAMS["firewall_rule"])
    with pytest.raises(ValueError, match="lock everybody out"):
        checked.build(Surroundings(Node("mac-01", Endpoint("mac-01.example", port=2222))))


def plist(resource):
    blank = resource.change(None)
    return next(plistlib.loads(step.content) for step in resource.steps(blank) if isinstance(step, Put))


def test_times_of_the_clock_and_intervals_are_launchds_keys():
    times = [{"weekday": "sunday", "hour": 12}, {"day": 1, "month": 2, "minute": 30}]
    at = plist(built("launchd_timer", every=None, at=times))
    assert at["StartCalendarInterval"] == [{"Hour": 12, "Weekday": 0}, {"Minute": 30, "Day": 1, "Month": 2}]
    assert "StartInterval" not in at
    assert plist(built("launchd_timer"))["StartInterval"] == 900
    assert "KeepAlive" not in at


def test_a_limit_without_a_hard_one_is_both():
    assert plist(built("sysctl_limit"))["ProgramArguments"] == [
        "/bin/launchctl",
        "limit",
        "maxfiles",
        "65536",
        "65536",
    ]
    wired = plist(built("sysctl_limit", name="iogpu.wired_limit_mb", value=18432))
    assert wired["ProgramArguments"] == ["/usr/sbin/sysctl", "-w", "iogpu.wired_limit_mb=18432"]
    assert wired["Label"] == "com.macfleet.limit.iogpu.wired-limit-mb"


def test_a_power_source_the_mac_has_not_got_is_refused():
    resource = built("power_setting", source="battery")
    change = resource.change(resource.probe().parse(ProbeOutput(0, "AC Power:\n sleep                1\n")))
    assert "this Mac has no Battery Power" in change.blocked


def test_one_source_of_power_is_set_after_all_of_them():
    one, every = PARAMS["power_setting"](source="ac", sleep=1), PARAMS["power_setting"](sleep=1)
    assert set(every.provides()) <= set(one.uses())


def test_the_first_rule_that_matches_lets_the_sources_in_and_the_last_nobody():
    rules = built("firewall_rule", action="allow", sources=["10.0.0.0/8", "fd00::5"]).rules
    assert rules == (
        "pass in quick on ! lo0 inet proto tcp from 10.0.0.0/8 to any port 8080 flags S/SA",
        "pass in quick on ! lo0 inet6 proto tcp from fd00::5/128 to any port 8080 flags S/SA",
        "block return in quick on ! lo0 proto tcp from any to any port 8080 flags S/SA",
    )
    assert built("firewall_rule", protocol="udp").rules == (
        "block return in quick on ! lo0 proto udp from any to any port 8080",
    )


LINES = [
    ({}, "/Users/ops/logs/boot.log 644 5 5120 * BN"),
    ({"size": 1500, "every": "daily", "hour": 3}, "/Users/ops/logs/boot.log 644 5 2 $D3 BN"),
    ({"every": "weekly", "compress": "bzip2", "keep": 0}, "/Users/ops/logs/boot.log 644 0 5120 $W0D0 BJN"),
    ({"owner": "ops"}, "/Users/ops/logs/boot.log ops: 644 5 5120 * BN"),
    (
        {"pid_file": "/var/run/x.pid", "signal": "USR1"},
        "/Users/ops/logs/boot.log 644 5 5120 * B /var/run/x.pid 30",
    ),
]


@pytest.mark.parametrize(("params", "line"), LINES)
def test_a_rotation_is_a_line_of_newsyslog(params, line):
    assert built("log_rotation", **params).content.decode().splitlines()[-1] == line


def test_what_newsyslog_refuses_never_takes_the_place_of_the_file(mac):
    resource = built("log_rotation", owner="nobody-here")
    judged = next(step for step in resource.steps(mac.planned(resource)) if isinstance(step, Run))
    done = mac.run(judged.script)
    assert (done.exit, "unknown user" in done.stderr) == (1, True)
    assert mac.planned(resource).action is Action.CREATE


def test_newsyslog_turns_over_a_log_by_the_line_it_was_given(mac):
    log = mac.home / "boot.log"
    log.write_text("x" * 3000)
    resource = built("log_rotation", paths=[str(log)], size="2KiB", keep=2, compress="gzip")
    mac.carry_out(resource, mac.planned(resource))
    assert mac.run(f"newsyslog -f {mac.root}{resource.path}").exit == 0
    assert sorted(each.name for each in mac.home.glob("boot.log*")) == ["boot.log", "boot.log.0.gz"]
    assert log.read_text() == ""


def test_a_crontab_that_cannot_be_read_is_not_written(mac):
    resource = built("cron")
    change = mac.planned(resource)
    (mac.root / "opt/homebrew/sbin/crontab").write_text(
        "#!/bin/sh\necho 'crontab: you are not allowed' >&2; exit 1\n"
    )
    script = next(step.script for step in resource.steps(change))
    done = mac.run(script)
    assert (done.exit, done.stderr) == (1, "crontab: you are not allowed\n")


def test_other_lines_of_a_crontab_stay_byte_for_byte(mac):
    theirs = ["MAILTO=ops", "# a comment", "15 3 * * * /bin/echo a\\tb \\% 'it''s' # macfleet: note-2", ""]
    tab = mac.root / "var/at/tabs/root"
    written = "\n".join(theirs)
    tab.write_text(written)
    tab.rename(tab.with_name(mac.run("id -un").stdout.strip()))
    tab = next(tab.parent.iterdir())
    resource = built("cron", run=["/bin/echo", "100%", "a\\tb", "$HOME"])
    mac.carry_out(resource, mac.planned(resource))
    ours = "@daily /bin/echo 100\\% 'a\\tb' '$HOME' # macfleet: note"
    assert tab.read_text() == f"{written}{ours}\n"
    gone = built("cron", state="absent")
    mac.carry_out(gone, mac.planned(gone))
    assert tab.read_text() == written


def test_lines_of_one_name_in_two_crontabs_are_two():
    assert [built("cron", user=user).address for user in ("", "ops")] == ["cron.note", "cron.ops:note"]


SCHEDULES = [
    ("*/5  * * * MON-fri", "*/5 * * * mon-fri"),
    ("0,30 8-18/2 1,15 jan-mar sun", "0,30 8-18/2 1,15 jan-mar sun"),
    ("0 0 * * 7", "0 0 * * 7"),
    ("@Hourly", "@hourly"),
]


@pytest.mark.parametrize(("text", "schedule"), SCHEDULES)
def test_a_schedule_is_read_as_crontab_has_it(text, schedule):
    assert parse_schedule(text) == schedule


@pytest.mark.parametrize(
    "text",
    [
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "5-1 * * * *",
        "*/0 * * * *",
        "5/2 * * * *",
        ", * * * *",
        "1,,2 * * * *",
        "@often",
        "",
        "* * * * * *",
        "mon * * * *",
        "²* * * * *",
    ],
)
def test_a_schedule_that_cron_would_not_take_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        parse_schedule(text)


@given(text=st.text(alphabet="0123456789*,-/ @abdeijmnorstuwy%\n", max_size=30))
def test_a_schedule_is_refused_or_stays_as_it_was_read(text):
    try:
        read = parse_schedule(text)
    except ValueError:
        return
    assert parse_schedule(read) == read
    assert read.split() == text.lower().split()
