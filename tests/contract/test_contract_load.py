"""Reading a contract: what it becomes, and everything that is refused."""

from pathlib import Path

import pytest

from macfleet.contract.load import load_contract, load_folder
from macfleet.contract.lock import check, parse_lock
from macfleet.model.contract import ClientDiscipline, Route, Slo
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.sources.disk import DiskFiles

TOP = Path(__file__).parents[2]


def problems(files):
    with pytest.raises(MacfleetError) as caught:
        load_contract(files)
    assert caught.value.exit_code is ExitCode.USAGE
    return caught.value.diagnostics


def test_a_contract_becomes_typed_values(draft):
    contract = load_contract(draft.files())
    assert (contract.name, contract.version, contract.model) == ("chat-small", 1, "small-chat")
    assert contract.routes == (Route("/v1/chat/completions", stream=True, usage=True),)
    bucket = contract.bucket("short")
    assert (bucket.context, bucket.output) == (512, 16)
    assert bucket.slo == Slo(ttft_p95=0.8, itl_p95=None, e2e_p95=9.0, errors=0.005)
    assert [fixture.id for fixture in bucket.fixtures] == ["a", "b"]
    assert bucket.fixtures[0].body == draft.first["body"]
    assert contract.client == ClientDiscipline(keep_alive=True, connect_timeout=2.0, stall_timeout=30.0)
    assert (contract.engine_slots, contract.concurrency, contract.duration) == (4, (1, 4), 1800.0)
    assert sorted(contract.fixture_hashes) == ["fixtures/short/a.json", "fixtures/short/b.json"]


def test_what_is_left_out_has_its_default(draft):
    for key in ("client", "duration", "nonce"):
        del draft.promise[key]
    del draft.bucket["slo"]
    contract = load_contract(draft.files())
    assert contract.client == ClientDiscipline()
    assert contract.duration == 1800.0
    assert contract.bucket("short").slo == Slo()


def test_the_example_contract_is_sound_and_frozen():
    files = DiskFiles(TOP)
    folder = load_folder(files)
    assert [bucket.name for bucket in folder.contract.buckets] == ["long", "short"]
    assert folder.contract.primary == "short"
    assert check(folder, parse_lock(files.read("contract/contract.lock"), "contract/contract.lock")) == ()


CASES = [
    ("unknown key", lambda d: d.promise.update(concurency=[1]), "E0703", 'did you mean "concurrency"?'),
    ("unknown slo", lambda d: d.bucket["slo"].update(ttft_p59="1s"), "E0703", 'did you mean "ttft_p95"?'),
    ("missing key", lambda d: d.promise.pop("primary"), "E0703", "Add primary:."),
    ("version text", lambda d: d.promise.update(version="1"), "E0703", "version"),
    ("version zero", lambda d: d.promise.update(version=0), "E0703", "version"),
    ("retries", lambda d: d.promise["client"].update(retries=1), "E0703", "retries must be 0"),
    ("duration word", lambda d: d.promise.update(duration="half an hour"), "E0703", "duration"),
    ("duration zero", lambda d: d.promise.update(duration="0s"), "E0703", "duration"),
    ("duration yes", lambda d: d.promise.update(duration=True), "E0703", "duration"),
    ("share", lambda d: d.bucket["slo"].update(errors="130%"), "E0703", "errors"),
    ("falling", lambda d: d.promise.update(concurrency=[4, 1]), "E0703", "must rise"),
    ("no route", lambda d: d.promise.update(routes=[]), "E0703", "routes"),
    ("route", lambda d: d.promise["routes"][0].update(path="v1"), "E0703", "path"),
    ("nonce", lambda d: d.promise.update(nonce="end"), "E0703", "nonce"),
    ("bucket name", lambda d: d.promise["buckets"].update({"Big one": d.bucket}), "E0703", "Big one"),
    ("primary", lambda d: d.promise.update(primary="shrt"), "E0705", 'did you mean "short"?'),
    ("pattern", lambda d: d.bucket.update(fixtures="fixtures/*.json"), "E0710", "no fixture matches"),
    ("outside", lambda d: d.bucket.update(fixtures="../*.json"), "E0710", "no fixture matches"),
    (
        "not json",
        lambda d: d.texts.update({"contract/fixtures/short/a.json": "{"}),
        "E0702",
        "not valid JSON",
    ),
    (
        "not text",
        lambda d: d.texts.update({"contract/fixtures/short/a.json": b"\xff"}),
        "E0702",
        "not valid JSON",
    ),
    (
        "twice",
        lambda d: d.texts.update({"contract/fixtures/short/a.json": '{"id":"a","id":"b"}'}),
        "E0702",
        "stands twice",
    ),
    ("nan", lambda d: d.texts.update({"contract/fixtures/short/a.json": '{"id":NaN}'}), "E0702", "NaN"),
    ("fixture key", lambda d: d.first.update(expected={}), "E0703", 'did you mean "expected_tokens"?'),
    ("bounds", lambda d: d.first.update(expected_tokens={"min": 2, "max": 1}), "E0703", "above max"),
    ("no room", lambda d: d.first.update(expected_tokens={"min": 1, "max": 2}), "E0709", "leave out the 16"),
    ("no prompt", lambda d: d.first["body"].pop("messages"), "E0704", "no nonce fits"),
    ("tokens", lambda d: d.first["body"].update(max_tokens=8), "E0707", "asks for 8 tokens"),
    ("model", lambda d: d.first["body"].update(model="big"), "E0708", "'big'"),
    ("same id", lambda d: d.first.update(id="b"), "E0706", '"b" stands more than once'),
    ("huge", lambda d: d.first["body"].update(seed=2**60), "E0711", "no canonical form"),
    ("surrogate", lambda d: d.first["body"].update(stop="\ud800"), "E0711", "no canonical form"),
]


@pytest.mark.parametrize(("edit", "code", "words"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_a_wrong_contract_is_refused_with_its_place(edit, code, words, draft):
    edit(draft)
    found = problems(draft.files())
    first = found[0]
    assert first.code == code
    assert words in f"{first.summary} {first.mend} {first.why}"
    assert first.where is not None
    assert first.where.file.startswith("contract/")


def test_every_problem_is_told_at_once(draft):
    draft.promise["primary"] = "long"
    draft.first["body"]["max_tokens"] = 8
    draft.fixtures["fixtures/short/b.json"]["body"]["model"] = "big"
    draft.fixtures["fixtures/short/c.json"] = {}
    assert [each.code for each in problems(draft.files())] == [
        "E0703", "E0703", "E0703", "E0705", "E0707", "E0708",
    ]  # fmt: skip


def test_a_wrong_key_of_a_fixture_names_its_line(draft):
    draft.first["bdy"] = {}
    (found,) = problems(draft.files())
    assert str(found.where) == "contract/fixtures/short/a.json:18:2"


def test_no_contract_says_how_to_get_one(text_files):
    (found,) = problems(text_files({}))
    assert found.code == "E0701"
    assert "macfleet init" in found.mend


def test_files_that_only_look_like_fixtures_are_left_alone(draft):
    draft.texts = {
        "contract/fixtures/short/._a.json": b"\x00AppleDouble",
        "contract/fixtures/short/deep/c.json": "{",
        "contract/fixtures/short/notes.txt": "x",
    }
    assert len(load_contract(draft.files()).fixture_hashes) == 2
