"""A file that holds a secret: on the node it is there, and nowhere else, not even as a digest."""

import base64
import hashlib
import stat

import pytest
import yaml
from scratch_mac import ScratchMac

from macfleet.engine.observe import Observation
from macfleet.engine.plan import make_plan
from macfleet.engine.steps import step_text
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.node import Endpoint, Node
from macfleet.model.resource import Action
from macfleet.model.secret import Secret
from macfleet.playbooks import CompileContext, compile_stage, load_stage

ODD = "a&b\\1"
PLANTED = "pl/nted 's3cret' $HOME ü"
NODE = Node("mac-01", Endpoint("mac-01.example"))


class Texts:
    """A fleet folder of one playbook."""

    def __init__(self, tasks):
        play = [{"name": "A play", "stage": "layout", "hosts": "all", "tasks": tasks}]
        self.text = yaml.safe_dump(play).encode()

    def read(self, _path):
        return self.text

    def exists(self, path):
        return path == "playbooks/p.yml"

    def list(self, _folder):
        return ()


class Safe:
    """A `Secrets` that counts what was read."""

    def __init__(self, **held):
        self.held = held
        self.read = []

    def resolve(self, reference):
        self.read.append(reference)
        name = reference.removeprefix("env:")
        if name not in self.held:
            raise MacfleetError(Diagnostic("E1202", f"the environment variable {name} is not set"))
        return Secret(self.held[name])


@pytest.fixture
def mac(tmp_path):
    return ScratchMac(tmp_path / "mac")


def compiled(mac, secrets, **params):
    said = {"path": str(mac.home / "token"), "content_secret": "env:TOKEN", **params}
    stage = load_stage(Texts([{"file": said}]), "playbooks/p.yml")
    return compile_stage(stage, NODE, CompileContext(secrets=secrets))


def spelled(secret):
    raw = secret.encode()
    return (secret, base64.b64encode(raw).decode(), hashlib.sha256(raw).hexdigest(), raw.hex())


def test_it_is_written_for_its_owner_alone_and_compared_by_its_digest(mac):
    (resource,) = compiled(mac, Safe(TOKEN=PLANTED)).resources
    mac.carry_out(resource, mac.planned(resource))
    path = mac.home / "token"
    assert path.read_text() == PLANTED
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert mac.planned(resource).action is Action.NOOP


def test_it_stands_where_the_text_around_it_says(mac):
    (resource,) = compiled(mac, Safe(TOKEN=ODD), content="KEY=***\nAGAIN=***\n").resources
    mac.carry_out(resource, mac.planned(resource))
    assert (mac.home / "token").read_text() == "KEY=a&b\\1\nAGAIN=a&b\\1\n"
    assert mac.planned(resource).action is Action.NOOP
    (other,) = compiled(mac, Safe(TOKEN=ODD), content="KEY=***\n").resources
    assert [each.field for each in mac.planned(other).fields] == ["secret"]


def test_another_secret_is_seen_and_said_without_either(mac):
    (old,) = compiled(mac, Safe(TOKEN=PLANTED[::-1])).resources
    mac.carry_out(old, mac.planned(old))
    (new,) = compiled(mac, Safe(TOKEN=PLANTED)).resources
    change = mac.planned(new)
    assert [(each.field, each.before, each.after) for each in change.fields] == [
        ("secret", "other", "current")
    ]
    mac.carry_out(new, change)
    assert (mac.home / "token").read_text() == PLANTED


def test_plan_digest_and_steps_as_text_hold_no_trace_of_it(mac):
    stages = [compiled(mac, Safe(TOKEN=secret)) for secret in (PLANTED, "another one")]
    assert stages[0].digest == stages[1].digest
    (resource,) = stages[0].resources
    probe = resource.probe()
    found = probe.parse(mac.run(probe.script))
    plan = make_plan("mac-01", stages[0].resources, Observation({resource.address: found}))
    steps = resource.steps(plan.changes[0])
    told = repr((stages, resource, probe, found, plan, plan.digest, steps, resource.desired()))
    mac.carry_out(resource, plan.changes[0])
    told += repr(probe.parse(mac.run(probe.script)))
    assert not [each for each in spelled(PLANTED) if each in told]
    assert PLANTED.split(maxsplit=1)[0] in step_text(steps[0])  # what travels on the connection's stdin


def test_compiling_reads_no_secret_and_probing_reads_it_before_a_node_is_asked(mac):
    safe = Safe()
    (resource,) = compiled(mac, safe).resources
    assert safe.read == []
    with pytest.raises(MacfleetError, match="TOKEN is not set"):
        resource.probe()


def test_without_anybody_who_reads_secrets_a_stage_compiles_all_the_same(mac):
    assert compiled(mac, None).resources


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"mode": "0644"}, "mode 0644 would show the secret to everybody"),
        ({"mode": "0601"}, "would show the secret"),
        ({"content": "KEY=x"}, r"must say \*\*\* where the secret stands"),
        ({"source": "x"}, "found source and content_secret"),
    ],
)
def test_what_would_give_it_away_is_refused(params, words, mac):
    with pytest.raises(MacfleetError, match=words):
        compiled(mac, Safe(TOKEN=PLANTED), **params)


def test_a_group_may_read_it_when_that_is_said(mac):
    (resource,) = compiled(mac, Safe(TOKEN=PLANTED), mode="0640").resources
    mac.carry_out(resource, mac.planned(resource))
    assert stat.S_IMODE((mac.home / "token").stat().st_mode) == 0o640


def test_an_absent_one_is_removed_without_the_secret(mac):
    (resource,) = compiled(mac, Safe(TOKEN=PLANTED)).resources
    mac.carry_out(resource, mac.planned(resource))
    (gone,) = compiled(mac, Safe(), state="absent").resources
    mac.carry_out(gone, mac.planned(gone))
    assert not (mac.home / "token").exists()
