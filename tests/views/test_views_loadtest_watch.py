"""What a load test looks like while it goes on: places, figures that nobody judged, lines that fit."""

from macfleet.rollout.loadtest_watch import Begun, NodeProgress, SoFar
from macfleet.views.loadtest_watch import Watched, document, lines

RUN = "20261123T041205Z-stage5-1a2b"


def begun(at=0.0, segment=0):
    return Begun("container", "short×4", segment, "raw", 4, 60.0, at)


def watched(*nodes, at=30.0, going=True):
    return Watched(RUN, "ops@desk", going, "going on" if going else "killed", at, at, nodes)


def figures(requests=3, firsts=(0.5, 0.25, 0.75)):
    return {("container", "short×4"): SoFar(requests, 1, 60, list(firsts), 3.0)}


def test_a_node_at_work_shows_its_place_the_time_left_and_figures_so_far():
    head, place, cells = lines(watched(NodeProgress("mac-01", begun=(begun(),), cells=figures())))
    assert head == f"Load test {RUN} · ops@desk · going on · 30 s"
    assert place == "mac-01  ⌛ segment 1 of 4  container short×4  █░░░░░░░░░░░  about 3 min 30 s left"
    assert cells.endswith("3 requests  1 error  20 tok/s  TTFT p95 0.75 s  so far, not judged")


def test_where_too_many_never_answered_there_is_no_time_to_the_first_token():
    found = lines(watched(NodeProgress("mac-01", begun=(begun(),), cells=figures(firsts=[float("inf")] * 3))))
    assert "TTFT p95 none in time" in found[-1]


def test_a_node_that_ended_says_how_and_why_cells_are_invalid():
    ended = NodeProgress("mac-01", "held", (begun(), begun(60.0)), {}, ("bare short×1: 3 requests",))
    _, place, invalid = lines(watched(ended))
    assert place == "mac-01  ! held · 1 measured again"
    assert invalid.strip() == "! bare short×1: 3 requests, INVALID"


def test_a_run_that_does_not_go_on_has_no_time_left():
    stopped = watched(NodeProgress("mac-01", begun=(begun(),)), NodeProgress("mac-02"), going=False)
    assert lines(stopped)[1:] == [
        "mac-01  ✗ left at segment 1 of 4  container short×4",
        "mac-02  ✗ no segment begun",
    ]
    assert [row["seconds_left"] for row in document(stopped)["nodes"]] == [None, None]


def test_lines_fit_a_narrow_terminal_and_what_a_node_says_moves_no_cursor():
    hostile = NodeProgress("mac-01", begun=(begun(),), invalid=("\x1b[2Jgone",))
    for line in lines(watched(hostile), 40):
        assert len(line) <= 40
        assert "\x1b" not in line


def test_seconds_that_pass_are_no_news_and_a_request_that_ended_is():
    node = NodeProgress("mac-01", begun=(begun(),), cells=figures())
    more = NodeProgress("mac-01", begun=(begun(),), cells=figures(requests=4))
    assert watched(node).news == watched(node, at=31.0).news != watched(more).news
    assert watched(node).places == watched(more).places
