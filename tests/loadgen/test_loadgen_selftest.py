import json

from click.testing import CliRunner

from macfleet.analysis.accuracy import accuracy
from macfleet.cli import selftest
from macfleet.cli.selftest import golden_engine, measured, misread_streams, segment_of


def test_every_answer_is_matched_with_the_engines_own_stamps_and_every_token_counted():
    with golden_engine(20, 30.0, 5.0) as url:
        samples, answers, report = measured(segment_of(url, 2, 1.5))
    assert len(answers) >= 4
    assert {sample.outcome for sample in samples} <= {"ok", "censored"}
    found = accuracy(answers)
    assert found.miscounted == 0
    assert all(len(each.sent) == len(each.read) == 20 for each in answers)
    # Read after written, written after received, received after sent: one clock, in order.
    for each in answers:
        assert each.send < each.received < each.sent[0]
        assert all(read > sent for read, sent in zip(each.read, each.sent, strict=True))
    assert report.token_events > 0


def test_a_misread_stream_is_found(monkeypatch):
    from macfleet.testing import hostile_streams

    [first, *_] = hostile_streams.HOSTILE_STREAMS
    wrong = hostile_streams.HostileStream(first.name, first.pieces, "ok", 99, "usage", generated=True)
    monkeypatch.setattr(hostile_streams, "HOSTILE_STREAMS", (first, wrong))
    assert misread_streams() == [f"{first.name}: ('ok', 3, 'usage') instead of ('ok', 99, 'usage')"]


def test_the_command_tells_figures_promises_and_validity_as_one_document():
    result = CliRunner().invoke(
        selftest.selftest,
        ["--streams", "1", "--seconds", "3", "--output", "json"],
        standalone_mode=False,
    )
    document = json.loads(result.stdout)
    assert document["kind"] == "selftest"
    assert document["accuracy"]["miscounted"] == 0
    assert document["hostile"]["misread"] == []
    clean = not document["misses"] and not document["client"]["invalid"]
    assert result.return_value == (0 if clean else 7)
