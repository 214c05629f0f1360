"""A whole fleet in memory: playbooks as text, nodes as folders, every port a fake."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from macfleet.executors.threads import ThreadExecutor
from macfleet.gates import WeightsFile
from macfleet.model.contract import Bucket, ClientDiscipline, Contract, Route, Slo
from macfleet.model.image import Blob, LockedImage, ResolvedImage
from macfleet.model.load import FixtureBody
from macfleet.model.node import Arm, Endpoint, Node, Roots
from macfleet.model.stage import StageName
from macfleet.playbooks import load_stage
from macfleet.rollout.desired import Desired
from macfleet.rollout.load_profile import LoadProfile
from macfleet.rollout.ports import Ports
from macfleet.rollout.run import Options, rollout
from macfleet.testing import (
    FakeClock,
    FakeEvidences,
    FakeGateway,
    FakeJournal,
    FakeMacs,
    FakeResolver,
    FakeRuns,
    RecordingEvents,
)
from macfleet.testing.load import FakeLoadGenerator

PLATFORM = "linux/arm64"
IMAGE = ResolvedImage(
    reference="registry.example/llama-server:b10434",
    repository="registry.example/llama-server",
    index=f"sha256:{'1' * 64}",
    manifest=f"sha256:{'2' * 64}",
    config=f"sha256:{'3' * 64}",
    platform=PLATFORM,
    layers=(Blob(f"sha256:{'4' * 64}", 10),),
)
CONTRACT = Contract(
    name="chat-small",
    version=1,
    hash="9f2c" + "0" * 60,
    sent_hash="5e" * 32,
    routes=(Route("/v1/chat/completions", stream=True, usage=True),),
    model="small-chat",
    engine_slots=4,
    concurrency=(1, 4),
    buckets=(Bucket("short", 512, 16, Slo(), (FixtureBody("a", {"messages": []}),)),),
    primary="short",
    client=ClientDiscipline(),
    duration=1800.0,
    fixture_hashes={},
)

# One guarded command a stage: its mark in the node's home is the state, so a test edits it by hand.
MARK = """
- name: {stage} on the node
  stage: {stage}
  hosts: all
  {head}
  tasks:
    - name: {stage}
      command: {{run: 'echo done >"$HOME/{stage}"', unless: '[ -f "$HOME/{stage}" ]'}}
"""
HEADS = {
    StageName.PROVISION: "gates: [converged: {}]",
    StageName.CONTRACT: "gates: [contract_frozen: {}, {routes_answer: {arm: bare}}]",
    StageName.IMAGES: "gates: [images_pinned: {}, converged: {}]",
    StageName.LAYOUT: "strategy: {drain: true}\n  gates: [converged: {}, {routes_answer: {arm: container}}]",
    StageName.NETWORK: "measure: network\n  gates: [network_proven: {}]",
    StageName.LOADTEST: "measure: loadtest\n  gates: [loadtest_complete: {}]",
}
COMPOSE = """
    - name: compose
      file: {path: "{{ compose_file }}", content: "mode: {{ network.mode }}\\n"}
"""


class TextFiles:
    def __init__(self, texts):
        self.texts = texts

    def read(self, path):
        if path not in self.texts:
            raise FileNotFoundError(path)
        return self.texts[path].encode()

    def exists(self, path):
        return path in self.texts

    def list(self, folder):
        return tuple(sorted(path for path in self.texts if path.startswith(f"{folder}/")))


def playbook(stage, head="", more=""):
    text = MARK.format(stage=stage.value, head=head or HEADS[stage]) + more
    return load_stage(TextFiles({"playbooks/x.yml": text}), "playbooks/x.yml")


def node(name, root, **fields):
    variables = {
        "inventory_hostname": name,
        "engine_port": 8080,
        "bare_port": 8081,
        # Two arms unless a test says what bare computes on.
        "accelerator": fields.pop("accelerator", "cpu"),
        "compose_file": f"{root}/{name}/compose.yaml",
    }
    return Node(
        name=name,
        endpoint=Endpoint(name),
        arms=fields.pop("arms", (Arm.BARE, Arm.CONTAINER)),
        roots=Roots("/Users/ops/models", "/Users/ops/hf", "/Users/ops/logs"),
        variables=variables,
        **fields,
    )


@dataclass
class Fleet:
    """Two nodes (or as many as named) that are provisioned, and everything around them."""

    root: Path
    nodes: tuple
    desired: Desired
    macs: FakeMacs
    evidences: FakeEvidences = field(default_factory=FakeEvidences)
    journal: FakeJournal = field(default_factory=FakeJournal)
    runs: FakeRuns = field(default_factory=FakeRuns)
    gateway: FakeGateway = field(default_factory=FakeGateway)
    load: FakeLoadGenerator = field(default_factory=FakeLoadGenerator)
    events: RecordingEvents = field(default_factory=RecordingEvents)
    clock: FakeClock = field(default_factory=FakeClock)
    resolver: FakeResolver = field(default_factory=lambda: FakeResolver({IMAGE.pinned: IMAGE}))
    stop: object = staticmethod(lambda: False)
    forks: int = 8
    count: int = 0

    @classmethod
    def make(cls, root, *names, **fields):
        macs = FakeMacs(root)
        for name in names:
            (macs.mac(name).home / "provision").write_text("done")
        playbooks = {stage: playbook(stage) for stage in HEADS}
        playbooks[StageName.LAYOUT] = playbook(StageName.LAYOUT, more=COMPOSE)
        locked = {"engine": LockedImage("engine", IMAGE.reference, IMAGE.index, {PLATFORM: IMAGE})}
        desired = Desired(
            CONTRACT, playbooks, locked, weights=(WeightsFile("/Users/ops/models/a.gguf", 3, "0" * 64),)
        )
        return cls(root, tuple(node(name, root, **fields) for name in names), desired, macs)

    def ports(self):
        self.count += 1
        run = self.count
        counter = iter(range(1_000_000))
        return Ports(
            transports=self.macs,
            resolver=self.resolver,
            sources=None,
            gateway=self.gateway,
            runs=self.runs,
            evidences=self.evidences,
            journal=self.journal,
            load=self.load,
            executor=ThreadExecutor(self.forks),
            clock=self.clock,
            events=self.events,
            nonce=lambda: f"n{run}-{next(counter)}",
            write_lock=lambda name, text: (self.root / name).write_text(text),
            stop=self.stop,
        )

    def rollout(self, stage, *names, **options):
        """Run one stage on all nodes or the named ones; each run has an id of its own."""
        chosen = [node for node in self.nodes if not names or node.name in names]
        ports = self.ports()
        options.setdefault("load", LoadProfile(8.0, segments=2, warmup=1.0))
        given = {"run_id": f"20261123T0412{self.count:02d}Z-{stage}", "who": "ops@desk", **options}
        return rollout(stage, chosen, self.desired, ports, Options(**given))

    def upto(self, last):
        """Bring every node through the stages before `last`; what they would make is there already."""
        before = list(StageName)[1 : list(StageName).index(last)]
        for each in self.nodes:
            for stage in before:
                (self.home(each.name) / stage.value).write_text("done\n")
            if StageName.LAYOUT in before:
                (self.home(each.name) / "compose.yaml").write_text("mode: bridge\n")
        for stage in before:
            assert self.rollout(stage).exit_code == 0
        self.gateway.calls.clear()
        return self

    def use(self, stage, head="", more=""):
        """Replace one stage's playbook."""
        given = playbook(stage, head, more)
        self.desired = replace(self.desired, playbooks={**self.desired.playbooks, stage: given})

    def home(self, name):
        return self.macs.mac(name).home

    def marked(self, stage):
        """Names of the nodes whose home carries the stage's mark."""
        return [node.name for node in self.nodes if (self.home(node.name) / stage.value).exists()]


def outcomes(result):
    return {r.node: str(r.outcome) for r in result.results}


def held_reasons(result, name):
    (found,) = [r for r in result.results if r.node == name]
    return [(v.gate, reason, v.mend) for v in found.verdicts for reason in v.reasons if v.outcome == "hold"]
