"""Planted secrets are gone from what was written, in every spelling; everything else stays."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
import shlex
import sys
from types import MappingProxyType
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError, NodeUnreachable
from macfleet.model.event import Event
from macfleet.model.ports import Completed
from macfleet.model.run import RunManifest
from macfleet.model.secret import Secret
from macfleet.model.stage import EvidenceKey, Outcome, StageName, StageRecord, Verdict
from macfleet.store import FolderRuns, SqlState
from macfleet.testing import RecordingEvents
from macfleet.views.redacted_ports import RedactedEvents, RedactedEvidences, RedactedJournal, RedactedRuns
from macfleet.views.redacting_stream import RedactingStream, hushed
from macfleet.views.redaction import Redactor

PLANTED = 'p/ä"s+s wörd\\x=&'
KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIBAQC7\n-----END KEY-----\n"
SECRETS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=4, max_size=90).filter(
    lambda text: len(text.strip()) >= 4 and "*" not in text
)
CODINGS = {
    "as it is": str,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "MIME base64": lambda text: base64.encodebytes(text.encode()).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
    "capital hexadecimal": lambda text: text.encode().hex().upper(),
    "as xxd -p prints it": lambda text: "\n".join(re.findall(".{1,60}", text.encode().hex())),
    "quoted for a URL": lambda text: quote(text, safe=""),
    "quoted in a path": quote,
    "quoted in a form": quote_plus,
    "JSON": json.dumps,
    "JSON as UTF-8": lambda text: json.dumps(text, ensure_ascii=False),
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "a Python literal": repr,
    "a shell word": shlex.quote,
}


def redactor(*secrets):
    made = Redactor()
    for each in secrets:
        made.learn(Secret(each))
    return made


@pytest.mark.parametrize("coding", CODINGS)
@given(secret=SECRETS)
def test_a_secret_is_found_however_it_is_encoded(coding, secret):
    encoded = CODINGS[coding](secret)
    shown = redactor(secret).text(f"\N{LEFT CEILING}{encoded}\N{RIGHT CEILING}")
    assert encoded.strip() not in shown
    assert (shown[0], shown[-1]) == ("\N{LEFT CEILING}", "\N{RIGHT CEILING}")


@given(before=st.binary(max_size=40), after=st.binary(max_size=40), secret=SECRETS)
def test_base64_of_more_than_the_secret_leaves_at_most_its_edges(before, after, secret):
    assume(len(secret.encode()) >= 8)
    encoded = base64.b64encode(before + secret.encode() + after).decode()
    shown = redactor(secret).text(encoded)
    head, mask, tail = shown.partition("***")
    assert mask
    # What is left decodes to the neighbours and at most six bits of the secret at each side.
    assert len(head) <= -(-8 * len(before) // 6)
    assert len(tail.lstrip("*")) <= len(encoded) - 8 * (len(before) + len(secret.encode())) // 6


BREAKS = {
    "as coreutils": (76, "\n"),
    "as PEM": (64, "\n"),
    "indented in a log": (76, "\n      "),
    "as MIME in JSON": (76, "\\r\\n"),
}


@pytest.mark.parametrize("breaking", BREAKS)
@given(before=st.binary(max_size=120), after=st.binary(max_size=120), secret=SECRETS)
def test_no_line_break_of_a_program_tears_a_secret_in_two(breaking, before, after, secret):
    assume(len(secret.encode()) >= 8)
    width, gap = BREAKS[breaking]
    encoded = base64.b64encode(before + secret.encode() + after).decode()
    lines = [encoded[at : at + width] for at in range(0, len(encoded), width)]
    head, mask, tail = redactor(secret).text(gap.join(lines)).partition("***")
    assert mask
    left = [len(part.replace(gap, "").replace("*", "")) for part in (head, tail)]
    assert left[0] <= -(-8 * len(before) // 6)
    assert left[1] <= len(encoded) - 8 * (len(before) + len(secret.encode())) // 6


def test_words_on_either_side_of_a_line_break_stay():
    text = "one\n two\\n three\n"
    assert redactor(PLANTED).text(text) == text


def test_a_login_header_does_not_show_the_password():
    header = base64.b64encode(b"fleet:" + PLANTED.encode()).decode()
    shown = redactor(PLANTED).text(f"Authorization: Basic {header}")
    assert b"s+s" not in base64.b64decode(shown.split()[-1].replace("***", "AAAA") + "===")


@pytest.mark.parametrize("hexadecimal", [str.upper, str.lower])
def test_both_spellings_of_url_digits_are_found(hexadecimal):
    shown = redactor("a b/ä!").text(
        f"?token={hexadecimal('%20')}{quote('a b/ä!', safe='')}".replace("%C3", hexadecimal("%C3"))
        .replace("%A4", hexadecimal("%A4"))
        .replace("%2F", hexadecimal("%2F"))
    )
    assert shown == f"?token={hexadecimal('%20')}***"


def test_each_line_of_a_key_is_a_secret_and_short_lines_are_not():
    made = redactor(KEY + "END\n")
    assert made.text("log: BKcwggSjAgEAAoIBAQC7!") == "log: ***!"
    assert made.text("the END") == "the END"


def test_overlapping_secrets_leave_nothing_between_them():
    assert redactor("abcdef", "defghi", "efg123").text("xabcdefghi efg123 abcdefghi y") == "x*** *** *** y"


def test_nothing_is_touched_while_nothing_is_known():
    value = {"a": ["b"]}
    assert Redactor().value(value) is value
    assert Redactor().text("text") == "text"


def test_every_shape_of_value_is_gone_through_and_keeps_its_type():
    made = redactor(PLANTED)
    diagnostic = Diagnostic("E0001", PLANTED, why=f"x {PLANTED}", where=Location(PLANTED, 3))
    shown = made.value(diagnostic)
    assert (shown.summary, shown.why, shown.where) == ("***", "x ***", Location("***", 3))
    assert shown.severity is diagnostic.severity
    document = MappingProxyType({PLANTED: [1, 2.5, None, True, (PLANTED,)], "set": {PLANTED}})
    assert made.value(document) == {"***": [1, 2.5, None, True, ("***",)], "set": {"***"}}
    done = made.value(Completed(0, f"é {PLANTED}\n".encode() + b"\xff", b"none"))
    assert (done.stdout, done.stderr) == ("é ***\n".encode() + b"\xff", b"none")
    secret = Secret(PLANTED)
    assert made.value((secret, Outcome.PASS)) == (secret, Outcome.PASS)
    same = dataclasses.replace(diagnostic, summary="a", why="b", where=None)
    assert made.value(same) is same


@given(secret=SECRETS, around=st.text(max_size=20), cuts=st.lists(st.integers(0, 200), max_size=8))
def test_a_stream_shows_the_same_however_the_text_is_cut_into_writes(secret, around, cuts):
    made = redactor(secret)
    text = f"{around}{secret}{around}"
    out = io.StringIO()
    stream = RedactingStream(out, made)
    at = 0
    for cut in sorted(cut % (len(text) + 1) for cut in cuts):
        stream.write(text[at:cut])
        stream.flush()
        at = cut
    stream.write(text[at:])
    stream.finish()
    assert out.getvalue() == made.text(text)


def test_a_stream_holds_back_only_what_may_be_a_secret():
    out = io.StringIO()
    stream = RedactingStream(out, redactor("hunter2-planted"))
    stream.write("Start? [y/N]: ")
    assert out.getvalue() == "Start? [y/N]: "
    stream.write("hunter2")
    stream.flush()
    assert out.getvalue() == "Start? [y/N]: "
    stream.write("-other")
    assert out.getvalue() == "Start? [y/N]: hunter2-other"


def test_a_stream_that_cannot_encode_a_character_shows_its_escape():
    data = io.BytesIO()
    stream = RedactingStream(io.TextIOWrapper(data, encoding="ascii"), redactor(PLANTED))
    stream.write(f"· {PLANTED}\n")
    stream.flush()
    assert data.getvalue() == b"\\u00b7 ***\n"


def test_a_block_is_hushed_and_the_streams_come_back(capsys):
    made = Redactor()
    before = sys.stdout, sys.stderr
    with hushed(made):
        print("early", PLANTED)
        made.learn(Secret(PLANTED))
        print("out", PLANTED)
        print("err", PLANTED, file=sys.stderr)
    assert (sys.stdout, sys.stderr) == before
    told = capsys.readouterr()
    assert told.out.splitlines()[1] == "out ***"
    assert told.err == "err ***\n"


def test_an_error_that_leaves_a_block_keeps_its_type_and_loses_the_secret():
    made = redactor(PLANTED)
    with pytest.raises(NodeUnreachable) as caught, hushed(made):
        raise NodeUnreachable(Diagnostic("E0401", f"no {PLANTED}", why=PLANTED))
    assert str(caught.value) == "no ***"
    assert caught.value.diagnostics[0].why == "***"
    with pytest.raises(RuntimeError, match=r"^KeyError: '\*\*\*'$") as bug, hushed(made):
        raise KeyError(PLANTED)
    assert bug.value.__suppress_context__
    with pytest.raises(KeyError), hushed(made):
        raise KeyError("innocent")


def test_a_traceback_shows_no_secret_of_an_error_behind_the_last():
    with pytest.raises(RuntimeError, match=r"^ValueError: innocent$") as bug, hushed(redactor(PLANTED)):
        raise ValueError("innocent") from KeyError(PLANTED)
    assert (bug.value.__cause__, bug.value.__suppress_context__) == (None, True)


def test_events_lose_the_secret_before_a_view_cuts_them():
    kept = RecordingEvents()
    RedactedEvents(kept, redactor(PLANTED)).emit(Event("x", "mac-01", {"address": f"a {PLANTED}"}))
    assert kept.seen[0].data == {"address": "a ***"}


def spellings():
    plain = PLANTED.encode()
    coded = (base64.b64encode(plain), quote(PLANTED, safe="").encode(), json.dumps(PLANTED)[1:-1].encode())
    return (plain, *coded)


def planted_text():
    return " | ".join(spelling.decode() for spelling in spellings())


def assert_nowhere(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        data = path.read_bytes()
        assert not [spelling for spelling in spellings() if spelling in data], path


def test_a_grep_for_a_planted_secret_over_the_journal_and_the_evidence_finds_nothing(tmp_path):
    made, said = redactor(PLANTED), planted_text()
    state = SqlState(f"sqlite:///{tmp_path}/state.db")
    journal = RedactedJournal(state, made)
    journal.begin("run-1", f"exec {said}", ["mac-01"], {"why": said})
    journal.note("run-1", "mac-01", "change.failed", {"stderr": said, said: [said]})
    journal.settle("run-1", "mac-01", "failed")
    journal.end("run-1", "failed")
    verdict = Verdict("probe", "mac-01", Outcome.FAIL, (said,), said)
    record = StageRecord(
        node="mac-01",
        stage=StageName.LAYOUT,
        key=EvidenceKey({"contract": "c"}),
        outcome=Outcome.FAIL,
        run="run-1",
        finished=1.0,
        verdicts=(verdict,),
        evidence={"facts": {"text": said}},
    )
    evidences = RedactedEvidences(state, made)
    evidences.record(record)
    assert evidences.latest("mac-01", StageName.LAYOUT).verdicts[0].reasons == ("*** | *** | *** | ***",)
    assert journal.unsettled("run-1") == ("mac-01",)
    assert journal.last() == "run-1"
    state.close()
    assert_nowhere(tmp_path)


def test_a_grep_for_a_planted_secret_over_a_run_folder_finds_nothing(tmp_path):
    said = planted_text()
    runs = RedactedRuns(FolderRuns(tmp_path), redactor(PLANTED))
    writer = runs.create("20261123T041205Z-stage3-1a2b")
    writer.json("plan.json", {"diff": said, said: 1})
    writer.text("logs/mac-01.txt", said)
    with writer.lines("events.ndjson") as line:
        line({"stdout": said})
    writer.series("series.parquet", [{"at": 1.0, "text": said}])
    manifest = RunManifest(
        id=writer.id, kind="rollout", stage="layout", contract="c", sent="s", git_commit="", git_dirty=True,
        nodes=("mac-01",), arms=(), vantage="", started="2026-11-23T04:12:05Z", finished="2026-11-23T04:12:06Z",
        who="ops", why=said, client_version="0",
    )  # fmt: skip
    writer.finish(manifest)
    assert runs.ids() == (writer.id,)
    assert runs.manifest(writer.id).why == "*** | *** | *** | ***"
    assert runs.document(writer.id, "plan.json") == {
        "diff": "*** | *** | *** | ***",
        "*** | *** | *** | ***": 1,
    }
    assert_nowhere(tmp_path)


def test_a_diagnostic_of_a_block_is_hushed_before_it_is_folded():
    planted = "several words that a narrow terminal would break over its lines"
    with pytest.raises(MacfleetError) as caught, hushed(redactor(planted)):
        raise MacfleetError(Diagnostic("E0001", "s", why=f"The node said: {planted}."))
    assert caught.value.diagnostics[0].why == "The node said: ***."
