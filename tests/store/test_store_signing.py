"""A signature stands for a whole run: any byte that changes takes it back."""

import pytest

from macfleet.model.diagnostic import MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.store.signing import check_folder, sign_folder


def rewrite(file, content):
    file.parent.chmod(0o755)
    file.chmod(0o644)
    file.write_bytes(content)


def codes(caught):
    return [each.code for each in caught.value.diagnostics]


def test_a_signed_run_names_its_key_and_nothing_else_of_it_changed(runs, sealed, key):
    before = {path: (path.read_bytes(), path.stat().st_mode) for path in sealed.rglob("*") if path.is_file()}
    mode = sealed.stat().st_mode
    signed = sign_folder(sealed, key[0])
    assert signed.key.startswith("ED25519 SHA256:")
    assert signed.problem is None
    assert runs.verify(sealed.name) == ()
    after = {path: (path.read_bytes(), path.stat().st_mode) for path in sealed.rglob("*") if path.is_file()}
    assert {path: after.pop(path) for path in before} == before
    assert [path.name for path in after] == ["signature"]
    assert sealed.stat().st_mode == mode


def test_a_run_nobody_signed_says_so(sealed):
    found = check_folder(sealed)
    assert (found.present, found.problem, found.words) == (False, None, "unsigned")


def test_an_allowed_signers_file_gives_the_signature_a_name(tmp_path, sealed, key):
    sign_folder(sealed, key[0])
    allowed = tmp_path / "allowed_signers"
    allowed.write_text(key[1])
    found = check_folder(sealed, allowed)
    assert found.signer == "ops@example"
    assert found.words.startswith("signed by ops@example (ED25519 SHA256:")


def test_a_good_signature_by_a_key_nobody_allowed_is_refused(tmp_path, sealed, key, make_key):
    sign_folder(sealed, key[0])
    allowed = tmp_path / "allowed_signers"
    allowed.write_text(make_key("other@example")[1])
    problem = check_folder(sealed, allowed).problem
    assert (problem.code, problem.exit_code) == ("E0963", ExitCode.HELD)


def test_a_signature_made_for_another_purpose_is_refused(tmp_path, sealed, key):
    sign_folder(sealed, key[0])
    allowed = tmp_path / "allowed_signers"
    allowed.write_text(key[1].replace("macfleet-run", "git"))
    assert check_folder(sealed, allowed).problem.code == "E0963"


@pytest.mark.parametrize("name", ["manifest.json", "signature"])
def test_a_changed_manifest_or_signature_is_found(sealed, key, name):
    sign_folder(sealed, key[0])
    content = bytearray((sealed / name).read_bytes())
    content[len(content) // 2] ^= 1
    rewrite(sealed / name, bytes(content))
    assert check_folder(sealed).problem.code == "E0962"


def test_a_run_is_signed_once(sealed, key):
    sign_folder(sealed, key[0])
    with pytest.raises(MacfleetError) as caught:
        sign_folder(sealed, key[0])
    assert codes(caught) == ["E0960"]


def test_a_file_that_is_no_key_cannot_sign_and_leaves_nothing(tmp_path, sealed):
    (tmp_path / "key").write_text("not a key")
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(MacfleetError) as caught:
        sign_folder(sealed, tmp_path / "key")
    assert codes(caught) == ["E0961"]
    assert not (sealed / "signature").exists()


def test_a_missing_allowed_signers_file_is_an_error_not_a_pass(tmp_path, sealed):
    with pytest.raises(MacfleetError) as caught:
        check_folder(sealed, tmp_path / "nowhere")
    assert codes(caught) == ["E0964"]
