"""A fleet folder held in memory, and the node and image the playbook tests use."""

from dataclasses import dataclass

from macfleet.model.image import Blob, ResolvedImage
from macfleet.model.node import Arm, Endpoint, Node, Roots, VmSize
from macfleet.playbooks import CompileContext, compile_stage, load_stage

HEX = "ab" * 32
IMAGE = ResolvedImage(
    reference="registry.example/llama-server:b10434",
    repository="registry.example/llama-server",
    index=f"sha256:{'1' * 64}",
    manifest=f"sha256:{'2' * 64}",
    config=f"sha256:{'3' * 64}",
    platform="linux/arm64",
    layers=(Blob(f"sha256:{'4' * 64}", 10),),
)
NODE = Node(
    name="mac-01",
    endpoint=Endpoint("mac-01.example", user="ops"),
    arms=(Arm.BARE, Arm.CONTAINER),
    roots=Roots("/Users/ops/models", "/Users/ops/hf", "/Users/ops/logs"),
    colima=VmSize(6, 12 * 2**30, 100 * 2**30),
    variables={"inventory_hostname": "mac-01", "root": "/Users/ops/macfleet", "port": 8080},
)


@dataclass
class TextFiles:
    texts: dict

    def read(self, path):
        if path not in self.texts:
            raise FileNotFoundError(path)
        text = self.texts[path]
        return text if isinstance(text, bytes) else text.encode()

    def exists(self, path):
        return path in self.texts

    def list(self, folder):
        return tuple(sorted(path for path in self.texts if path.startswith(folder + "/")))


def stage(tasks="", *, head="", **texts):
    """A fleet folder with one playbook whose tasks are `tasks`, and other files by path."""
    play = f"- name: A stage\n  stage: layout\n  hosts: serving\n{head}"
    if tasks:
        play += "  tasks:\n" + "".join(f"    {line}\n" for line in tasks.strip("\n").splitlines())
    return {"playbooks/stage.yml": play, **texts}


def compiled(texts, node=NODE, **values):
    playbook = load_stage(TextFiles(texts), "playbooks/stage.yml")
    return compile_stage(playbook, node, CompileContext({"engine": IMAGE}, values))


def findings(texts, node=NODE, **values):
    """(code, file:line, summary) of everything that is refused."""
    from macfleet.model.diagnostic import MacfleetError

    try:
        compiled(texts, node, **values)
    except MacfleetError as error:
        return [(d.code, f"{d.where.file}:{d.where.line}", d.summary, d.mend) for d in error.diagnostics]
    return []
