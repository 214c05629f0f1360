"""A secret that a rollout delivers is found nowhere but in the file it was meant for."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from lab_fleet import Nodes

from macfleet.store import FolderRuns
from macfleet.store.bundles import export_run
from macfleet.store.signing import sign_folder
from macfleet.testing.hunting import Hunt

pytestmark = pytest.mark.lab

PLANTED = "pl/nted+s3cret=&for 'the' hunt"
HUNT = Hunt((PLANTED,))
HERE = "/Users/ops/macfleet/hunted.key"
SITE = """\
- name: A key
  stage: provision
  hosts: serving
  gates: [converged: {}]
"""
DELIVERED = f"""\
  tasks:
    - name: The key that is hunted
      file: {{path: {HERE}, content_secret: "file:kept/key"}}
"""
# Gives it away in every spelling, on both streams, as programs of the nodes do when they fail.
TELLS = f"cat {HERE}; base64 < {HERE} >&2; xxd -p {HERE} || od -An -tx1 {HERE}"
TELLING = f"""\
    - name: Something that tells it
      needs: [file.{HERE}]
      command: {{run: '{TELLS}; %s', unless: '[ -f ~/.told ]'}}
"""


@dataclass
class Hunted:
    """A twin whose rollout delivers a secret, and where else it could lie."""

    fleet: object
    nodes: Nodes

    def delivers(self, playbook, before, more=""):
        """Let a playbook deliver the secret besides what it did before, and do what else is said."""
        self.fleet.write(playbook, before + DELIVERED + more)

    def forget(self):
        """Make the node differ from what is wanted, so that the secret is sent again."""
        self.nodes.login("mac-01", f"rm -f {HERE} ~/.told")

    def on_node(self):
        """Files of the node that hold it in one of its spellings; the patterns travel on stdin."""
        patterns = b"\n".join(HUNT.spellings()).decode()
        folders = "~ /tmp /var/tmp /private/var /var/log /usr/local /opt/homebrew/var"
        script = f"cat > ~/.patterns; grep -rlFf ~/.patterns {folders} 2>/dev/null; rm -f ~/.patterns"
        found = self.nodes.login("mac-01", script, stdin=patterns).stdout.split()
        return [path for path in found if not path.endswith("/.patterns")]


@pytest.fixture
def hunted(spoilt, nodes):
    key = spoilt.folder / "kept/key"
    key.parent.mkdir()
    key.write_text(f"{PLANTED}\n", encoding="utf-8")
    key.chmod(0o600)
    yield (made := Hunted(spoilt, nodes))
    made.forget()


def test_a_secret_is_nowhere_but_in_its_file_whatever_is_asked_for_and_however_it_ends(hunted, tmp_path):
    fleet = hunted.fleet
    layout, site = "playbooks/stage3-layout.yml", "playbooks/site.yml"
    verbose, as_json, fails = ("-v",), ("--output", "json"), TELLING % "exit 3"
    everything = ("rollout", "all", "--again", "--yes", "--duration", "4s")
    befores = {layout: fleet.read(layout), site: SITE}
    with HUNT.in_processes() as watch:
        said = [fleet("rollout", "stage1", "--again", *verbose, "-l", "mac-01")]
        # One arm is measured in half the time and shows as much; stage 1 is the other's.
        fleet.for_node("mac-01", arms=["container"])
        for playbook, words, more, exits in (
            (layout, (*everything, *verbose), TELLING % ": >~/.told", None),
            (site, ("plan", site, "--save", "kept.plan", *verbose), fails, 3),
            (site, ("drift", site, *as_json), fails, 3),
            (site, ("apply", site, *verbose), fails, 4),
            (site, ("apply", site, *as_json), fails, 4),
            (site, ("apply", site, *as_json), TELLING % ": >~/.told", 0),
        ):
            hunted.forget()
            hunted.delivers(playbook, befores[playbook], more)
            said.append(fleet(*words, "-l", "mac-01", exits=exits))
    runs = FolderRuns(fleet.folder / ".macfleet/runs")
    bundles = [tmp_path / f"{number}.tar" for number, _ in enumerate(runs.ids())]
    for run, bundle in zip(runs.ids(), bundles, strict=True):
        sign_folder(runs.folder(run), hunted.nodes.state["key"])
        export_run(runs, run, bundle)
    told = "".join(each.stdout + each.stderr for each in said)

    # It was really there, it really was told, and all of this was really looked at. A busy machine may make
    # the load client late, and what it measured not count.
    assert said[1].exit in (0, 7), said[1].text
    assert hunted.nodes.login("mac-01", f"cat {HERE}; stat -f %p {HERE}").stdout == f"{PLANTED}100600\n"
    assert "***" in said[4].stderr + said[4].stdout
    assert "***" in said[5].stdout
    assert {f"stage{number}" for number in range(1, 6)} <= {run.split("-")[1] for run in runs.ids()}
    assert (watch.rounds > 50, len(watch.processes) > 50) == (True, True)
    assert hunted.on_node() == [HERE]

    assert HUNT.in_text(told) == ()
    assert watch.found == set()
    # Layers are kept as their registry gave them, proven by digest: nothing of this fleet is in them.
    layers = fleet.folder.glob(".macfleet/blobs/sha256-*")
    assert HUNT.in_files(fleet.folder, tmp_path, but={fleet.folder / "kept/key", *layers}) == {}


def test_the_same_hunt_finds_a_secret_that_was_given_away(hunted):
    """The same text without a reference: it is in the playbook, in the process list and on the node."""
    fleet = hunted.fleet
    hunted.delivers("playbooks/site.yml", SITE)
    with HUNT.in_processes() as watch:
        told = fleet(
            "exec", "-l", "mac-01", "--", f'echo "{PLANTED}" | tee ~/.given; sh -c \'sleep 1\' "{PLANTED}"'
        )
    fleet.write("given.txt", told.stdout)
    try:
        assert {what for what, _, _ in watch.found} == {"cmdline"}
        assert "plain" in HUNT.in_text(told.stdout)
        assert str(fleet.folder / "given.txt") in HUNT.in_files(fleet.folder)
        assert [path for path in hunted.on_node() if path.endswith(".given")]
    finally:
        hunted.nodes.login("mac-01", "rm -f ~/.given")
