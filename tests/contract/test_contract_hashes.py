"""The canonical hash and the hash of what is sent: what moves them and what does not."""

import json

import yaml
from hypothesis import given
from hypothesis import strategies as st

from macfleet.contract.canonical import canonical_hash, sent_hash
from macfleet.contract.load import load_contract
from macfleet.model.contract import Bucket, Slo
from macfleet.model.load import FixtureBody

SCALARS = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text() | st.floats(-1e9, 1e9)
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)
OBJECTS = st.dictionaries(st.text(), TREES, max_size=4)


def shuffled(value):
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(list(value))}
    return [shuffled(each) for each in value] if isinstance(value, list) else value


@given(OBJECTS, OBJECTS)
def test_the_order_of_keys_and_the_way_through_json_do_not_count(promise, fixtures):
    once = canonical_hash(promise, fixtures)
    assert canonical_hash(shuffled(promise), shuffled(fixtures)) == once
    assert canonical_hash(json.loads(json.dumps(promise)), json.loads(json.dumps(fixtures))) == once


@given(OBJECTS, OBJECTS, OBJECTS)
def test_different_values_have_different_hashes(promise, fixtures, other):
    same = json.dumps(other, sort_keys=True) == json.dumps(fixtures, sort_keys=True)
    equal = canonical_hash(promise, fixtures) == canonical_hash(promise, other)
    # 1 and 1.0, 0 and -0.0 are one number in JSON, so equal hashes may be more than equal texts
    assert equal or not same
    if equal:
        assert other == fixtures


def test_the_hashes_of_a_known_contract_never_change(draft):
    contract = load_contract(draft.files())
    assert contract.hash == KNOWN_HASH
    assert contract.sent_hash == KNOWN_SENT


def test_comments_and_layout_do_not_count(draft):
    plain = load_contract(draft.files())
    text = "# a comment\n" + yaml.safe_dump(draft.promise, sort_keys=True, default_flow_style=True)
    draft.texts["contract/contract.yml"] = text
    assert load_contract(draft.files()).hash == plain.hash


def test_a_fixture_that_moves_is_another_contract(draft):
    before = load_contract(draft.files()).hash
    draft.fixtures["fixtures/short/z.json"] = draft.fixtures.pop("fixtures/short/a.json")
    assert load_contract(draft.files()).hash != before


BODIES = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=5, unique=True)


def bucket(texts):
    fixtures = tuple(FixtureBody(f"f{n}", {"prompt": text}) for n, text in enumerate(texts))
    return Bucket("short", 512, 16, Slo(), fixtures)


@given(BODIES, BODIES)
def test_other_prompts_send_other_bytes(texts, others):
    one, two = sent_hash("h", [bucket(texts)], [1]), sent_hash("h", [bucket(others)], [1])
    assert (one == two) == (texts == others)


def test_what_is_sent_depends_on_contract_hash_bucket_and_concurrency():
    base = bucket(["a"])
    other = Bucket("long", 512, 16, Slo(), base.fixtures)
    hashes = {
        sent_hash("h", [base], [1]),
        sent_hash("i", [base], [1]),
        sent_hash("h", [base], [4]),
        sent_hash("h", [base], [1, 4]),
        sent_hash("h", [other], [1]),
    }
    assert len(hashes) == 5


KNOWN_HASH = "8c7430774aa7e45f47ce9218e033ec328557910cd5a5566e9b05233e3233357e"
KNOWN_SENT = "94d589db8f8fb887df0b008da79f110bcbfc2bf347414b9041fb8f535fc78ac7"
