"""Parts that a node lacks, over a real shell: what travels, what is gone on with, what is refused."""

import hashlib
import itertools
import os
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest

from macfleet.engine import Redial, apply_plan, make_plan, observe
from macfleet.engine.lock import Holder
from macfleet.engine.transfer import Offer
from macfleet.model.diagnostic import Diagnostic, MacfleetError, NodeUnreachable
from macfleet.model.exit_codes import ExitCode
from macfleet.model.ports import Completed, Part
from macfleet.model.resource import Assemble, Probe, compare
from macfleet.model.secret import Secret
from macfleet.testing import LocalTransport

HOLDER = Holder("run-1", "ops@desk", "2026-01-01T00:00:00Z")
ASK = """folder="$HOME/parts"; mkdir -p "$folder"
printf 'folder %s\\nfree %s\\n' "$folder" "${FREE:-1000000}"
for part; do grep -qxF "$part" "$HOME/had" 2>/dev/null && printf 'have %s\\n' "$part"; done; :"""
JOIN = """folder="$HOME/parts"
for part; do
  [ -f "$folder/$part" ] || grep -qxF "$part" "$HOME/really" 2>/dev/null || exit 75
done
for part; do [ ! -f "$folder/$part" ] || cat "$folder/$part"; done >"$HOME/joined"
for part; do rm -f "$folder/$part"; done"""


def part(name, content):
    return Part(name, len(content), hashlib.sha256(content).hexdigest(), lambda offset: [content[offset:]])


PARTS = (part("a", b"A" * 3000), part("b", b"B" * 2000))


@dataclass(frozen=True)
class Thing:
    """A resource that is joined of parts."""

    ask: str = ASK
    join: str = JOIN
    address: str = "thing.x"
    kind: str = "thing"
    needs: tuple[str, ...] = ()

    def probe(self):
        def parse(output):
            return {"size": int(output.stdout)} if output.exit == 0 else None

        return Probe('[ -f "$HOME/joined" ] || exit 9; wc -c <"$HOME/joined"', parse)

    def desired(self):
        return {"size": 5000}

    def change(self, actual):
        return compare(self.address, self.desired(), actual)

    def steps(self, change):
        return (Assemble("thing", self.ask, self.join),) if change.fields else ()


class Sources:
    def __init__(self, parts=PARTS):
        self._parts = parts

    def parts(self, source):
        assert source == "thing"
        return self._parts


class Counting(LocalTransport):
    """Counts the bytes that travel as content, and breaks after so many."""

    def __init__(self, home):
        super().__init__(home)
        self.travelled, self.breaks_after = 0, None

    def run(self, script, *, stdin=None, **options):
        return super().run(script, stdin=None if stdin is None else self._counted(stdin), **options)

    def _counted(self, stdin):
        for piece in stdin:
            for at in range(0, len(piece), 500):
                if self.breaks_after is not None and self.travelled >= self.breaks_after:
                    raise NodeUnreachable("n", "the line broke")
                self.travelled += len(piece[at : at + 500])
                yield piece[at : at + 500]


@pytest.fixture
def node(tmp_path):
    return Counting(tmp_path)


def converge(node, thing=None, parts=PARTS, holder=HOLDER, **options):
    numbers = itertools.count()
    resources = [thing or Thing()]

    def nonce():
        return f"n{next(numbers)}"

    plan = make_plan("n", resources, observe("n", resources, node, nonce=nonce))
    return apply_plan(plan, resources, node, sources=Sources(parts), holder=holder, nonce=nonce, **options)


def test_every_part_travels_to_a_blank_node_once(node, tmp_path):
    converge(node)
    assert (tmp_path / "joined").read_bytes() == b"A" * 3000 + b"B" * 2000
    assert node.travelled == 5000
    assert not list((tmp_path / "parts").iterdir())


def test_a_part_the_node_has_does_not_travel(node, tmp_path):
    (tmp_path / "had").write_text("a\n")
    (tmp_path / "really").write_text("a\n")
    with pytest.raises(MacfleetError) as caught:
        converge(node)
    # The script of this test joins only what came, so the size is not the wanted one.
    assert caught.value.diagnostics[0].code == "E0513"
    assert (tmp_path / "joined").read_bytes() == b"B" * 2000
    assert node.travelled == 2000


def test_where_the_node_has_less_than_it_said_everything_is_brought_after_all(node, tmp_path):
    (tmp_path / "had").write_text("a\n")
    converge(node)
    assert (tmp_path / "joined").stat().st_size == 5000
    assert node.travelled == 5000


def test_parts_that_arrived_before_a_break_do_not_travel_again(node, tmp_path):
    node.breaks_after = 3500
    with pytest.raises(NodeUnreachable):
        converge(node)
    assert not (tmp_path / "joined").exists()
    node.travelled, node.breaks_after = 0, None
    converge(node)
    assert (tmp_path / "joined").read_bytes() == b"A" * 3000 + b"B" * 2000
    # How a part that arrived halfway is gone on with is tried over OpenSSH, with `deliver`.
    assert node.travelled == 2000


def test_nothing_is_sent_where_there_is_no_room(node, tmp_path):
    full = Thing(ask=ASK.replace("1000000", "9"))
    with pytest.raises(MacfleetError) as caught:
        converge(node, full)
    [diagnostic] = caught.value.diagnostics
    assert diagnostic.code == "E0640"
    assert "9.8 KiB are needed" in diagnostic.summary
    assert node.travelled == 0
    assert not list((tmp_path / "parts").iterdir())


def test_every_disk_that_is_too_full_is_named(node):
    full = Thing(
        ask=f"{ASK.replace('1000000', '9')}; echo room 19 4 /var/lib/docker of the VM; echo room 20 4 /b"
    )
    with pytest.raises(MacfleetError) as caught:
        converge(node, full)
    said = [each.summary for each in caught.value.diagnostics]
    assert ["parts" in said[0], "19.5 KiB are needed in /var/lib/docker of the VM" in said[1]] == [True, True]
    assert len(said) == 2
    assert node.travelled == 0


class Near:
    """A courier that offers a part once, at an address where nobody answers."""

    def __init__(self):
        self.told = []

    @contextmanager
    def turn(self, part):
        yield Offer("sibling", "http://127.0.0.1:9/part", Secret("t")) if part.name == "a" else None

    def brought(self, part, folder, sent, offer):
        self.told.append((part.name, folder.rpartition("/")[2], sent, offer))

    def refused(self, offer, error):
        self.told.append((offer.node, error.diagnostics[0].code))


class Handing(Counting):
    """A node to whom the sibling's part comes by itself, or whose sibling does not answer."""

    gives = True

    def run(self, script, *, stdin=None, **options):
        if "Authorization" not in script:
            return super().run(script, stdin=stdin, **options)
        if not self.gives:
            return Completed(77, b"", b"curl: (7) refused")
        (self.home / "parts" / "a").write_bytes(b"A" * 3000)
        return Completed(0, b"", b"")


def test_a_part_that_a_sibling_offers_does_not_leave_the_controller(tmp_path):
    node, near = Handing(tmp_path), Near()
    converge(node, courier=near)
    assert (tmp_path / "joined").stat().st_size == 5000
    assert node.travelled == 2000
    assert [told[:3] for told in near.told] == [("a", "parts", 0), ("b", "parts", 2000)]


def test_a_part_that_no_sibling_gives_comes_from_the_controller(tmp_path):
    node, near = Handing(tmp_path), Near()
    node.gives = False
    converge(node, courier=near)
    assert (tmp_path / "joined").stat().st_size == 5000
    assert near.told == [("sibling", "E0642"), ("a", "parts", 3000, None), ("b", "parts", 2000, None)]


@pytest.mark.parametrize("ask", ["exit 3", "echo folder relative", "echo folder /x; echo free many"])
def test_a_node_that_answers_otherwise_is_refused(node, ask):
    with pytest.raises(MacfleetError) as caught:
        converge(node, Thing(ask=ask))
    assert caught.value.diagnostics[0].code == "E0641"
    assert node.travelled == 0


def test_a_part_that_is_not_what_it_was_named_for_is_refused_and_joined_into_nothing(node, tmp_path):
    wrong = replace(PARTS[1], open=lambda offset: [(b"C" * 2000)[offset:]])
    with pytest.raises(MacfleetError) as caught:
        converge(node, parts=(PARTS[0], wrong))
    assert caught.value.diagnostics[0].code == "E0418"
    assert not (tmp_path / "joined").exists()


BROKEN = Diagnostic("E0404", "the line broke", exit_code=ExitCode.UNREACHABLE)
JOINS_SLOWLY = f"""echo join >>"$HOME/steps"; while [ ! -f "$HOME/go" ]; do sleep 0.05; done
{JOIN}"""


class Cut(Counting):
    """Loses its connection while parts are joined, once; what runs on the node goes on until it is asked for."""

    def __init__(self, home):
        super().__init__(home)
        self.steps, self.dead = home / "steps", False

    def run(self, script, **options):
        if self.dead:
            raise NodeUnreachable(BROKEN)
        if "echo joining" in script and self.steps.exists():
            (self.home / "go").touch()
        if "mf_job 0 " not in script or self.steps.exists():
            return super().run(script, **options)
        environment = {**os.environ, "HOME": str(self.home), "TMPDIR": "/tmp"}
        pipe = subprocess.PIPE
        running = subprocess.Popen([*self.shell, "-s"], stdin=pipe, stdout=pipe, env=environment, text=True)
        running.stdin.write(f"{{ {script}\n}} </dev/null\n")
        running.stdin.close()
        until = time.monotonic() + 60
        while not self.steps.exists():
            assert time.monotonic() < until, "nothing was joined"
            time.sleep(0.01)
        running.stdout.close()
        # As sshd would: nobody else is left to wait for it.
        threading.Thread(target=running.wait, daemon=True).start()
        raise NodeUnreachable(BROKEN)


@pytest.mark.slow
def test_a_join_that_lost_its_connection_is_followed_and_not_begun_again(tmp_path):
    node = Cut(tmp_path)
    converge(node, Thing(join=JOINS_SLOWLY), redial=Redial(lambda: node, lambda _seconds: None))
    assert node.steps.read_text() == "join\n"
    assert (tmp_path / "joined").stat().st_size == node.travelled == 5000
    assert not list((tmp_path / ".macfleet/jobs").iterdir())


@pytest.mark.slow
def test_a_join_that_lost_its_controller_is_followed_by_who_goes_on_with_the_run(tmp_path):
    node = Cut(tmp_path)

    def dies():
        node.dead = True
        raise NodeUnreachable(BROKEN)

    with pytest.raises(NodeUnreachable):
        converge(node, Thing(join=JOINS_SLOWLY), redial=Redial(dies, lambda _seconds: None))
    node.dead = False
    converge(node, Thing(join=JOINS_SLOWLY))
    assert node.steps.read_text() == "join\n"
    assert (tmp_path / "joined").stat().st_size == node.travelled == 5000


@pytest.mark.slow
def test_a_join_that_lost_its_connection_and_lacked_something_gets_everything(tmp_path):
    (tmp_path / "had").write_text("a\n")
    node = Cut(tmp_path)
    converge(node, Thing(join=JOINS_SLOWLY), redial=Redial(lambda: node, lambda _seconds: None))
    assert node.steps.read_text() == "join\n" * 2
    assert (tmp_path / "joined").stat().st_size == node.travelled == 5000
