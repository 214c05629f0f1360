import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from macfleet.analysis.frames import sample_frame, series_frame
from macfleet.analysis.thresholds import DEFAULTS
from macfleet.analysis.traces import trace
from macfleet.reports.compare import compare
from macfleet.reports.page import html
from macfleet.testing.synthetic import SyntheticArm, synthetic_run

pytestmark = pytest.mark.slow  # drawing takes seconds

BARE = SyntheticArm("bare", rate=50)
SLOW = SyntheticArm("container", rate=30, iowait=40, psi=1, memory=71, errors=0.1)


class Page(HTMLParser):
    """What a page holds: tags with attributes, in order, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


def report(make_run, *, node="mac-01", arms=(BARE, SLOW), simulated=()):
    run = make_run(*arms, node=node, simulated=simulated)
    recorded = synthetic_run(arms, seed=1)
    drawn = trace(
        run.manifest.id,
        node,
        sample_frame(recorded.samples),
        recorded.reports,
        series_frame(recorded.series),
    )
    return html(compare((run,), "node", thresholds=DEFAULTS), (drawn,))


@pytest.fixture(scope="module")
def text(make_run):
    return report(make_run)


def test_a_report_asks_for_nothing_and_runs_nothing(text):
    page = Page(text)
    assert not page.all("script")
    assert not page.all("link")
    assert not page.all("img")
    assert not page.all("iframe")
    assert not re.search(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", text)
    addresses = set(re.findall(r"https?://[^\s\"'<]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    [policy] = [each for each in page.all("meta") if each.get("http-equiv")]
    assert policy["content"].startswith("default-src 'none'")


def test_the_verdict_stands_first_and_the_method_last(text):
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", text)
    assert headings[0] == "Verdict"
    assert headings[-1] == "Method"
    assert text.index("mounts-first") < text.index("<svg")


def test_every_figure_is_there_and_says_the_same_as_a_table(text):
    page = Page(text)
    titles = re.findall(r"<h3[^>]*>(.*?)</h3>", text)
    assert titles == [
        "Throughput of the container against its base",
        "Seconds from sending to the last token",
        "How many requests ended within a time",
        "Tokens a second over the run, with memory and iowait",
        "Time to the first token by length of the prompt",
        "How the requests that failed ended",
        "The load client&#39;s own lateness",
    ]
    assert len(page.all("figure")) == len(titles)
    assert len(page.all("svg")) == 2 * len(titles)
    assert len(page.all("details")) >= len(titles)
    assert all(attributes.get("aria-hidden") == "true" for attributes in page.all("svg"))


def test_no_id_stands_twice_and_every_reference_finds_one(text):
    ids = [attributes["id"] for _, attributes in Page(text).tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = set(re.findall(r'(?:href="#|url\(#|aria-labelledby=")([\w.×-]+)', text))
    assert used <= set(ids)


def test_colours_come_from_the_page_so_that_dark_and_print_can_change_them(text):
    body = text[text.index("<body>") :]
    assert "var(--arm-bare)" in body
    assert "var(--arm-container)" in body
    assert "var(--ink)" in body
    assert not re.search(r"#0000\d\d|#0072b2|#d55e00", body)


def test_text_from_elsewhere_stays_text(make_run):
    text = report(make_run, node="<b onmouseover=x>&'")
    page = Page(text)
    assert not page.all("b")
    assert any("<b onmouseover=x>&'" in words for words in page.words)


def test_a_simulated_run_says_so_before_any_figure(make_run):
    text = report(make_run, simulated=("macOS",))
    assert 0 < text.index("not a Mac") < text.index("<svg")


def test_the_same_comparison_gives_the_same_bytes(make_run, text):
    assert report(make_run) == text


def test_a_run_without_raw_records_still_gives_a_report(make_run):
    run = make_run(BARE, SLOW)
    text = html(compare((run,), "node", thresholds=DEFAULTS))
    assert len(Page(text).all("figure")) == 2


def test_without_failures_there_is_no_figure_of_failures(make_run):
    clean = report(make_run, arms=(BARE, replace(SLOW, errors=0.0)))
    assert "How the requests that failed ended" not in clean
