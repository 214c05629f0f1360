"""Archives that nobody needs to trust: what would leave the folder is refused before it is unpacked."""

import hashlib
import io
import stat
import tarfile
import zipfile

import pytest
from scratch_mac import ScratchMac

from macfleet.documents import Document, validate
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.node import Endpoint, Node
from macfleet.model.resource import Action, Put
from macfleet.resources import Surroundings
from macfleet.resources.archive import ArchiveParams

NODE = Node("mac-01", Endpoint("mac-01.example"))


@pytest.fixture
def mac(tmp_path):
    return ScratchMac(tmp_path / "mac")


def tar(*members):
    """A tar of (name, text), or of (name, link or kind) where the second is a tarfile type and target."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, held in members:
            entry = tarfile.TarInfo(name)
            if isinstance(held, tuple):
                entry.type, entry.linkname = held
                archive.addfile(entry)
            else:
                entry.size, entry.mode = len(held), 0o4755
                archive.addfile(entry, io.BytesIO(held.encode()))
    return out.getvalue()


def zipped(*members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, held in members:
            archive.writestr(name, held)
    return out.getvalue()


def built(mac, content, name="a.tgz", **params):
    """An archive that lies on the node."""
    lying = mac.home / name
    lying.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    said = {"to": str(mac.home / "to"), "path": str(lying), "sha256": digest, **params}
    return validate(Document(said, "case"), ArchiveParams, kind="archive").build(Surroundings(NODE))


def unpacked(mac, resource):
    """Run the steps; return how the last ended."""
    scripts = [step.script for step in resource.steps(mac.planned(resource))]
    return mac.run(scripts[-1])


def held(mac):
    folder = mac.home / "to"
    return {str(path.relative_to(folder)) for path in folder.rglob("*")} - {".macfleet-archive"}


def test_members_come_with_their_folders_and_without_set_id_bits(mac):
    resource = built(mac, tar(("a/b/serve", "x"), ("a/run", (tarfile.SYMTYPE, "b/serve"))))
    assert unpacked(mac, resource).exit == 0
    assert held(mac) == {"a", "a/b", "a/b/serve", "a/run"}
    assert stat.S_IMODE((mac.home / "to/a/b/serve").stat().st_mode) == 0o755
    assert mac.planned(resource).action is Action.NOOP


def test_a_zip_is_an_archive_too(mac):
    resource = built(mac, zipped(("a/serve", "x")), "a.zip", creates=str(mac.home / "to/a/serve"))
    done = unpacked(mac, resource)
    assert done.exit == 0, done.stderr
    assert held(mac) == {"a", "a/serve"}


def test_another_archive_goes_over_the_old_one_and_leaves_what_is_not_its_own(mac):
    assert unpacked(mac, built(mac, tar(("a", "old"), ("b", "old")))).exit == 0
    (mac.home / "to/kept").write_text("mine")
    before = (mac.home / "to/a").stat().st_ino
    with (mac.home / "to/a").open() as running:
        newer = built(mac, tar(("a", "new")))
        assert mac.planned(newer).action is Action.UPDATE
        assert unpacked(mac, newer).exit == 0
        assert running.read() == "old"
        assert (mac.home / "to/a").stat().st_ino != before
    assert held(mac) == {"a", "b", "kept"}
    assert (mac.home / "to/a").read_text() == "new"


def test_an_unpacking_that_was_cut_is_not_taken_for_done(mac):
    lacking = {"creates": str(mac.home / "to/a")}
    resource = built(mac, tar(("a", "x"), ("z", "x")), **lacking)
    assert unpacked(mac, resource).exit == 0
    for name in ("a", "z"):
        (mac.home / "to" / name).unlink()
    # the node loses power after the first member
    script = resource.steps(mac.planned(resource))[-1].script
    cut = script.replace('unpack "$to"\n', 'cp a "$to"; exit 137\n', 1)
    assert mac.run(cut).exit == 137
    assert held(mac) == {"a"}
    (mac.home / "to/.macfleet.a1B2c3/new").mkdir(parents=True)
    assert mac.planned(resource).action is Action.UPDATE
    assert unpacked(mac, resource).exit == 0
    assert held(mac) == {"a", "z"}


def test_a_link_in_the_folder_leads_no_member_outside(mac):
    (mac.home / "out").mkdir()
    (mac.home / "to").mkdir()
    (mac.home / "to/d").symlink_to(mac.home / "out")
    content = tar(("c/x", "x"), ("d/e/x", "x"))
    done = unpacked(mac, built(mac, content))
    assert (done.exit, f"{mac.home}/to/d is a link where" in done.stderr) == (1, True)
    (mac.home / "to/d").unlink()
    (mac.home / "to/d/e").mkdir(parents=True)
    (mac.home / "to/d/e/x").symlink_to(mac.home / "out/x")
    assert unpacked(mac, built(mac, content)).exit == 0
    assert not list((mac.home / "out").iterdir())
    assert not (mac.home / "to/d/e/x").is_symlink()


def test_only_what_was_unpacked_gets_the_owner(mac):
    (mac.home / "to").mkdir()
    (mac.home / "to/kept").write_text("mine")
    resource = built(mac, tar(("a/b", "x"), ("l", (tarfile.SYMTYPE, "a"))), owner="root:wheel")
    assert unpacked(mac, resource).exit == 0
    said = [mac.run(f"stat -f %Su {mac.home}/to/{name}").stdout.strip() for name in ("a", "a/b", "l", "kept")]
    assert said == ["root", "root", "root", "ops"]


def test_an_archive_of_the_controller_travels_and_leaves_nothing_behind(mac):
    content = tar(("a", "x"))
    said = {"to": str(mac.home / "to"), "source": "a.tgz"}
    params = validate(Document(said, "case"), ArchiveParams, kind="archive")
    resource = params.build(Surroundings(NODE, files={params.staged: content}))
    change = mac.planned(resource)
    assert [type(step) for step in resource.steps(change)][1] is Put
    mac.carry_out(resource, change)
    assert held(mac) == {"a"}
    assert mac.planned(resource).action is Action.NOOP


SYM, HARD, PIPE = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (tar(("../x", "x")), "../x of the archive would land outside"),
        (tar(("a/../../x", "x")), "would land outside"),
        (tar(("a/..", "x")), "would land outside"),
        (tar(("/x", "x")), "/x of the archive would land outside"),
        (zipped(("../x", "x")), "would land outside"),
        (tar(("l", (SYM, "/etc"))), "./l of the archive is a link that leads outside"),
        (tar(("a/l", (SYM, "../../x"))), "./a/l of the archive is a link that leads outside"),
        (tar(("d/x", "x"), ("l", (SYM, "d/../.."))), "leads outside"),
        (tar(("s", (SYM, ".")), ("l", (SYM, "s/s/../../.."))), "leads outside"),
        (tar(("p", (PIPE, ""))), "./p of the archive is a device or a pipe"),
        (tar(("a\nb", "x")), "holds a line break"),
    ],
)
def test_what_would_leave_the_folder_is_refused_before_anything_is_there(content, words, mac):
    done = unpacked(mac, built(mac, content))
    assert done.exit == 1
    assert words in done.stderr
    assert held(mac) == set()
    assert not (mac.home / "x").exists()


def test_a_link_that_stays_inside_is_taken(mac):
    members = [("a/b/c", "x"), ("a/l", (SYM, "../a/./b/c")), ("m", (SYM, "a/l")), ("h", (HARD, "a/b/c"))]
    done = unpacked(mac, built(mac, tar(*members)))
    assert done.exit == 0, done.stderr
    assert (mac.home / "to/m").read_text() == (mac.home / "to/h").read_text() == "x"


def test_a_member_behind_a_link_of_the_archive_lands_nowhere(mac):
    (mac.home / "out").mkdir()
    content = tar(("l", (SYM, str(mac.home / "out"))), ("l/x", "x"))
    assert unpacked(mac, built(mac, content)).exit != 0
    assert not list((mac.home / "out").iterdir())
    assert held(mac) == set()


def test_a_hard_link_to_a_file_outside_is_refused(mac):
    (mac.home / "secret").write_text("s")
    resource = built(mac, tar(("x", "x")))
    script = resource.steps(mac.planned(resource))[-1].script
    # a tar that follows such a link: what it made is found by the number of names
    trick = script.replace('cd "$t/new"\n', f'cd "$t/new"\nln {mac.home}/secret h\n', 1)
    done = mac.run(trick)
    assert (done.exit, done.stderr) == (1, "the archive links to a file outside the folder\n")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"sha256": "0" * 64}, "expected 000"),
        ({"path": "/nowhere/a.tgz"}, "/nowhere/a.tgz is missing"),
        ({"strip": 3, "creates": "TO/a"}, "does not bring"),
    ],
)
def test_what_is_not_the_archive_that_was_meant_is_not_unpacked(params, words, mac):
    params = {name: str(value).replace("TO", str(mac.home / "to")) for name, value in params.items()}
    params |= {"strip": int(params["strip"])} if "strip" in params else {}
    done = unpacked(mac, built(mac, tar(("a", "x")), **params))
    assert done.exit == 1
    assert words in done.stderr
    assert held(mac) == set()
    assert not (mac.home / "to/.macfleet-archive").exists()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, "exactly one of source and path"),
        ({"path": "/a", "source": "a"}, "exactly one of source and path"),
        ({"path": "/a"}, "sha256 missing"),
        ({"path": "/a", "sha256": "12"}, "64 hexadecimal"),
        ({"source": "a", "creates": "/elsewhere"}, "must be below /to"),
        ({"source": "a", "strip": -1}, "greater than or equal to 0"),
        ({"source": "a", "dest": "/x"}, 'unknown key "dest"'),
    ],
)
def test_what_cannot_be_meant_is_refused(said, words):
    with pytest.raises(MacfleetError, match=words):
        validate(Document({"to": "/to", **said}, "case"), ArchiveParams, kind="archive")


def test_a_source_must_be_the_one_that_is_meant_and_small():
    params = validate(
        Document({"to": "/to", "source": "a", "sha256": "0" * 64}, "case"), ArchiveParams, kind="archive"
    )
    with pytest.raises(ValueError, match="SHA-256 of a is"):
        params.build(Surroundings(NODE, files={params.staged: b"x"}))
    params = validate(Document({"to": "/to", "source": "a"}, "case"), ArchiveParams, kind="archive")
    with pytest.raises(ValueError, match="use download"):
        params.build(Surroundings(NODE, files={params.staged: bytes(16 * 2**20 + 1)}))
