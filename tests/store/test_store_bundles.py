"""A bundle brings the same run elsewhere, or nothing at all."""

import io
import json
import tarfile

import pytest

from macfleet.model.diagnostic import MacfleetError
from macfleet.store.bundles import export_run, import_run
from macfleet.store.folder_runs import FolderRuns
from macfleet.store.signing import sign_folder

WHO = {"who": "ops@desk", "when": "2026-11-23T06:00:00Z"}


@pytest.fixture
def elsewhere(tmp_path):
    return FolderRuns(tmp_path / "elsewhere")


@pytest.fixture
def bundle(tmp_path, runs, sealed, key):
    sign_folder(sealed, key[0])
    export_run(runs, sealed.name, tmp_path / "run.tar")
    return tmp_path / "run.tar"


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def repack(bundle, change):
    """Write the bundle anew with `change(members)` applied; a member is [TarInfo, bytes]."""
    with tarfile.open(bundle) as tar:
        members = [[entry, tar.extractfile(entry).read()] for entry in tar]
    change(members)
    with tarfile.open(bundle, "w", format=tarfile.PAX_FORMAT) as tar:
        for entry, content in members:
            entry.size = len(content) if entry.isreg() else 0
            tar.addfile(entry, io.BytesIO(content) if entry.isreg() else None)


def refused(elsewhere, bundle, **options):
    with pytest.raises(MacfleetError) as caught:
        import_run(elsewhere, bundle, **WHO, **options)
    assert elsewhere.ids() == ()
    assert elsewhere.unfinished() == ()
    assert list(elsewhere.root.iterdir()) == []
    return [(each.code, each.summary) for each in caught.value.diagnostics]


def test_an_imported_run_is_the_exported_one_and_is_marked(elsewhere, bundle, sealed):
    done = import_run(elsewhere, bundle, **WHO)
    there = contents(elsewhere.folder(done.run_id))
    mark = json.loads(there.pop("imported.json"))
    assert there == contents(sealed)
    assert (mark["bundle"], mark["who"], mark["sha256"]) == ("run.tar", "ops@desk", done.sha256)
    assert elsewhere.imported(done.run_id)
    assert elsewhere.verify(done.run_id) == ()
    assert done.signed.key.startswith("ED25519")


def test_the_same_run_gives_the_same_bytes(tmp_path, runs, sealed, elsewhere, bundle):
    import_run(elsewhere, bundle, **WHO)
    export_run(elsewhere, sealed.name, tmp_path / "again.tar")
    assert (tmp_path / "again.tar").read_bytes() == bundle.read_bytes()


def test_importing_twice_changes_nothing(elsewhere, bundle):
    import_run(elsewhere, bundle, **WHO)
    assert not import_run(elsewhere, bundle, **WHO).new


def test_another_run_of_the_same_id_is_not_overwritten(elsewhere, bundle, sealed):
    import_run(elsewhere, bundle, **WHO)
    manifest = elsewhere.folder(sealed.name) / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text(manifest.read_text().replace('"ops"', '"eve"'))
    with pytest.raises(MacfleetError) as caught:
        import_run(elsewhere, bundle, **WHO)
    assert caught.value.diagnostics[0].code == "E0969"


def test_a_flipped_byte_names_its_file(elsewhere, bundle):
    content = bundle.read_bytes()
    at = content.index(b"nothing failed")
    bundle.write_bytes(content[:at] + b"N" + content[at + 1 :])
    ((code, summary),) = refused(elsewhere, bundle)
    assert code == "E0953"
    assert "nodes/mac-01/logs/first-failure.txt is damaged" in summary


def test_wherever_a_byte_is_flipped_the_run_arrives_whole_or_not_at_all(tmp_path, bundle, sealed):
    whole = contents(sealed)
    content = bundle.read_bytes()
    refusals = 0
    for position in range(0, len(content), 97):
        spoilt = bytearray(content)
        spoilt[position] ^= 0x41
        bundle.write_bytes(bytes(spoilt))
        target = FolderRuns(tmp_path / f"try-{position}")
        try:
            done = import_run(target, bundle, **WHO)
        except MacfleetError:
            refusals += 1
            assert target.ids() == ()
        else:
            there = contents(target.folder(done.run_id))
            del there["imported.json"]
            assert there == whole
    assert refusals > 10


def test_a_missing_file_is_named(elsewhere, bundle):
    repack(bundle, lambda members: members.pop())
    assert refused(elsewhere, bundle) == [
        ("E0954", "run 20261123T041205Z-stage5-1a2b: verdicts.json is missing")
    ]


def test_every_damage_is_reported_at_once(elsewhere, bundle):
    def change(members):
        members[-1][1] += b" "
        members.append([tarfile.TarInfo(members[0][0].name.replace("manifest.json", "more")), b"x"])

    repack(bundle, change)
    assert [code for code, _ in refused(elsewhere, bundle)] == ["E0953", "E0955"]


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "{run}/../../x", "{run}/a\\b", "{run}/./x"]
)
def test_a_path_that_leaves_the_folder_is_refused(tmp_path, elsewhere, bundle, name, sealed):
    entry = tarfile.TarInfo(name.format(run=sealed.name))
    repack(bundle, lambda members: members.append([entry, b"x"]))
    assert [code for code, _ in refused(elsewhere, bundle)] == ["E0967"]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_links_folders_and_devices_are_refused(elsewhere, bundle, kind, sealed):
    entry = tarfile.TarInfo(f"{sealed.name}/nodes")
    entry.type, entry.linkname = kind, "/etc"
    repack(bundle, lambda members: members.insert(1, [entry, b""]))
    assert refused(elsewhere, bundle)[0][0] == "E0967"


def test_a_file_that_is_there_twice_is_refused(elsewhere, bundle):
    repack(bundle, lambda members: members.append(list(members[-1])))
    assert [code for code, _ in refused(elsewhere, bundle)] == ["E0967"]


def test_a_manifest_for_another_folder_is_refused(elsewhere, bundle):
    def change(members):
        for entry, _ in members:
            entry.name = entry.name.replace("1a2b", "ffff")

    repack(bundle, change)
    assert refused(elsewhere, bundle)[0][0] == "E0952"


@pytest.mark.parametrize("content", [b"", b"text", b"\x1f\x8b" + b"0" * 600])
def test_what_is_no_bundle_is_refused(elsewhere, tmp_path, content):
    (tmp_path / "x.tar").write_bytes(content)
    assert refused(elsewhere, tmp_path / "x.tar")[0][0] == "E0966"


def test_a_changed_signature_is_refused(elsewhere, bundle):
    def change(members):
        members[1][1] = members[1][1].replace(b"A", b"B")

    repack(bundle, change)
    assert refused(elsewhere, bundle)[0][0] == "E0962"


def test_where_a_signature_is_demanded_an_unsigned_bundle_is_refused(tmp_path, runs, sealed, elsewhere, key):
    export_run(runs, sealed.name, tmp_path / "bare.tar")
    allowed = tmp_path / "allowed"
    allowed.write_text(key[1])
    found = refused(elsewhere, tmp_path / "bare.tar", allowed_signers=allowed, must_be_signed=True)
    assert found[0][0] == "E0968"


def test_a_signature_by_a_stranger_is_refused(tmp_path, elsewhere, bundle, make_key):
    allowed = tmp_path / "allowed"
    allowed.write_text(make_key("other@example")[1])
    assert refused(elsewhere, bundle, allowed_signers=allowed)[0][0] == "E0963"


def test_a_damaged_run_is_not_exported(tmp_path, runs, sealed):
    file = sealed / "verdicts.json"
    file.chmod(0o644)
    file.write_text("{}")
    with pytest.raises(MacfleetError) as caught:
        export_run(runs, sealed.name, tmp_path / "run.tar")
    assert [each.code for each in caught.value.diagnostics] == ["E0953"]
    assert not (tmp_path / "run.tar").exists()


def test_a_file_that_is_there_is_not_overwritten(runs, sealed, bundle):
    with pytest.raises(MacfleetError) as caught:
        export_run(runs, sealed.name, bundle)
    assert caught.value.diagnostics[0].code == "E0965"
