import pytest

from macfleet.model.diagnostic import Diagnostic, Location, Severity
from macfleet.testing.golden import golden
from macfleet.views.diagnostics import text

UNKNOWN = Diagnostic(
    "E0214",
    'unknown key "chipp" for node mac-01',
    why='Nodes have typed keys, so that a typing error is found before anything is sent; did you mean "chip"?',
    mend="Known keys: macfleet docs node",
    where=Location("inventory/hosts.yml", 9, 11),
    snippet="          chipp: m4",
    span=5,
    node="mac-01",
)


@pytest.mark.parametrize("width", [40, 80, 100])
def test_a_diagnostic_looks_as_it_was_looked_at(looked_at, width):
    golden(looked_at / f"diagnostic-{width}.txt", text(UNKNOWN, width=width))


def test_lines_fit_the_width_that_columns_names(monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    assert max(map(len, text(UNKNOWN).splitlines())) <= 50


def test_a_wide_terminal_does_not_make_lines_nobody_can_read():
    assert max(map(len, text(UNKNOWN, width=300).splitlines())) <= 100


def test_a_path_stays_whole_however_narrow_the_terminal():
    path = "/Users/ops/Library/Application/" + "x" * 60
    assert path in text(Diagnostic("E1", "no file", mend=f"See {path} first"), width=40)


@pytest.mark.parametrize(("severity", "word"), [(Severity.ERROR, "error"), (Severity.WARNING, "warning")])
def test_colour_repeats_what_the_words_say(severity, word):
    found = Diagnostic("E0214", "unknown key", mend="macfleet docs node", severity=severity)
    plain, coloured = text(found), text(found, colour=True)
    assert plain.startswith(f"{word}[E0214]: unknown key")
    assert "\x1b" not in plain
    assert "\x1b" in coloured


def test_a_long_source_line_is_cut_around_what_is_meant():
    snippet = "x" * 200 + "chipp" + "y" * 200
    found = Diagnostic("E0214", "unknown", where=Location("a.yml", 1, 201), snippet=snippet, span=5)
    _, _, source, caret = text(found, width=60).splitlines()
    assert len(source) <= 60
    assert source[caret.index("^") : caret.index("^") + 5] == "chipp"


def test_what_a_file_holds_cannot_steer_the_terminal():
    assert "\x1b" not in text(Diagnostic("E1", "bad \x1b[2J value", why="\x1b]0;title\x07"))


def test_a_word_longer_than_the_line_stays_whole_below_the_label():
    found = text(Diagnostic("E0603", f"/{'x' * 120} is not built for linux/arm64"), width=60)
    assert found.splitlines()[:2] == ["error[E0603]:", f"  /{'x' * 120}"]


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_a_command_to_type_is_never_broken_over_two_lines(width):
    ping, resume = (
        "macfleet ping --limit mac-01",
        "macfleet apply playbooks/site.yml --resume 20261123T041205Z-site-1a2b",
    )
    mend = f"Check that the Mac is awake and Remote Login is on, then `{ping}`.\nGo on when all is well: {resume}"
    shown = text(Diagnostic("E0401", "cannot connect", mend=mend), width=width).splitlines()
    assert any(f"`{ping}`." in line for line in shown)
    assert any(line.endswith(resume) for line in shown)
