"""Generated fixtures: the wanted length, the same bytes for the same seed, accepted by the contract."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.cli.main import main
from macfleet.contract.border import ContractFile
from macfleet.contract.generate import Wanted, estimate, generate
from macfleet.contract.load import load_folder
from macfleet.model.diagnostic import Location, MacfleetError

TOP = Path(__file__).parents[2]
WHERE = Location("contract/contract.yml")
PROMISE = {
    "contract": "chat-small",
    "version": 1,
    "routes": [{"path": "/v1/models"}, {"path": "/v1/chat/completions", "stream": True, "usage": True}],
    "model": {"name": "small-chat"},
    "engine_slots": 4,
    "concurrency": [1],
    "buckets": {"long": {"context": 2048, "output": 64, "fixtures": "fixtures/long/*.json"}},
    "primary": "long",
}


def promise(**changes):
    return ContractFile.model_validate({**PROMISE, **changes})


def made(promised=None, **wanted):
    return generate(promised or promise(), Wanted("long", **wanted), WHERE)


def prompt(text):
    return json.loads(text)["body"]["messages"][0]["content"]


def test_the_bytes_of_a_seed_never_change():
    """Golden: a contract frozen today is generated again in ten years."""
    made_now = made(tokens=40, count=1, seed=7)
    assert list(made_now) == ["fixtures/long/long-40-s7-000.json"]
    assert json.loads(made_now["fixtures/long/long-40-s7-000.json"]) == {
        "id": "long-40-s7-000",
        "body": {
            "model": "small-chat",
            "messages": [{"role": "user", "content": GOLDEN}],
            "max_tokens": 64,
            "temperature": 0,
            "seed": 7,
            "stream": True,
            "stream_options": {"include_usage": True},
            "ignore_eos": True,
        },
        "expected_tokens": {"min": 64, "max": 64},
    }


GOLDEN = (
    "Retell the notes below as a letter to a friend.\n\nA tall man found two wooden "
    "chairs by the old bridge before the rain. The mayor forgot the long letter near "
    "the river in the early morning."
)


@given(tokens=st.integers(32, 1880), seed=st.integers(0, 10**6), count=st.integers(1, 8))
def test_every_prompt_has_the_wanted_length(tokens, seed, count):
    texts = made(tokens=tokens, seed=seed, count=count)
    assert len(texts) == count
    assert {tokens - estimate(prompt(text)) for text in texts.values()} <= {0, 1}


def test_texts_differ_by_seed_and_number():
    texts = [*made(tokens=200, seed=1, count=12).values(), *made(tokens=200, seed=2, count=12).values()]
    assert len({prompt(text) for text in texts}) == 24


def test_without_a_length_the_prompt_fills_the_context():
    assert {estimate(prompt(text)) for text in made().values()} <= {1879, 1880}


def test_a_completions_route_gets_a_prompt_and_no_streaming_it_did_not_promise():
    body = json.loads(next(iter(made(promise(routes=[{"path": "/v1/completions"}])).values())))["body"]
    assert isinstance(body["prompt"], str)
    assert not {"messages", "stream", "stream_options"} & set(body)


def bucket(**changes):
    return promise(buckets={"long": {**PROMISE["buckets"]["long"], **changes}})


@pytest.mark.parametrize(
    ("promised", "wanted", "code", "words"),
    [
        (promise(), Wanted("lnog"), "E0720", 'no bucket "lnog"'),
        (bucket(fixtures="fixtures/*/a.json"), Wanted("long"), "E0721", "no file can be made"),
        (bucket(fixtures="fixtures/long/a.json"), Wanted("long"), "E0721", "no file can be made"),
        (promise(), Wanted("long", tokens=1881), "E0722", "1881 tokens does not fit"),
        (promise(), Wanted("long", tokens=31), "E0722", "31 tokens does not fit"),
        (bucket(context=64), Wanted("long"), "E0722", "15 tokens does not fit"),
        (promise(), Wanted("long", count=0), "E0722", "0 fixtures"),
        (promise(), Wanted("long", seed=-1), "E0722", "seed -1"),
        (
            promise(routes=[{"path": "/v1/models"}]),
            Wanted("long"),
            "E0723",
            "no promised route takes a prompt",
        ),
    ],
)
def test_what_cannot_be_made_is_refused(promised, wanted, code, words):
    with pytest.raises(MacfleetError) as caught:
        generate(promised, wanted, WHERE)
    assert [each.code for each in caught.value.diagnostics] == [code]
    assert words in caught.value.diagnostics[0].summary


@pytest.fixture
def macfleet(tmp_path, capsys):
    (tmp_path / "macfleet.yml").write_text("name: test\n")
    shutil.copytree(TOP / "contract", tmp_path / "contract")

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--fleet", str(tmp_path)])
        told = capsys.readouterr()
        return ended.value.code, told.out, told.err

    run.fleet = tmp_path
    return run


def test_a_new_bucket_is_filled_frozen_and_checked(macfleet):
    path = macfleet.fleet / "contract/contract.yml"
    fresh = "buckets:\n  huge: {context: 8192, output: 16, fixtures: 'fixtures/huge/*.json'}\n"
    text = path.read_text().replace("version: 1", "version: 2", 1)
    path.write_text(text.replace("buckets:\n", fresh, 1))
    code, out, _ = macfleet("contract", "generate", "huge", "--tokens", "7600", "--count", "2")
    assert (code, out.count("+ contract/fixtures/huge/huge-7600-s1-00")) == (0, 2)
    assert macfleet("contract", "freeze")[0] == 0
    assert macfleet("contract", "check")[0] == 0
    from macfleet.sources.disk import DiskFiles

    found = load_folder(DiskFiles(macfleet.fleet)).contract.bucket("huge")
    assert [fixture.id for fixture in found.fixtures] == ["huge-7600-s1-000", "huge-7600-s1-001"]


def test_the_same_again_changes_nothing_and_an_edited_file_is_kept(macfleet):
    arguments = ("contract", "generate", "long", "--count", "1", "--output", "json")
    first, again = (json.loads(macfleet(*arguments)[1]) for _ in range(2))
    assert first["written"] == first["files"] == again["files"]
    assert again["written"] == []
    edited = macfleet.fleet / "contract" / first["files"][0]
    edited.write_text(edited.read_text().replace('temperature": 0', 'temperature": 1'))
    code, _, err = macfleet(*arguments)
    assert (code, "E0724" in err, "other content" in err) == (2, True, True)
    assert 'temperature": 1' in edited.read_text()
