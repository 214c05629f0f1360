"""Secret references: each kind read, refused and explained."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from macfleet.model.diagnostic import MacfleetError, Severity
from macfleet.sources import secret_vault
from macfleet.sources.secrets import KINDS, SecretReferences

ORACLE = Path(__file__).parents[2] / ".oracle/bin"
PLANTED = "correct horse battery"
KEPT, WRONG, CIRCLE, DEV = "file:password", "file:wrong", "vault:v.yml#a", "file:dev.pw"


class Asking:
    """A `SecretReferences` over a folder, and what it told."""

    def __init__(self, root, **settings):
        self.root = root
        self.learned = []
        self.warned = []
        self.port = SecretReferences(root, learned=self.learned.append, warn=self.warned.append, **settings)

    def __call__(self, reference):
        return self.port.resolve(reference).reveal()

    def refused(self, reference):
        with pytest.raises(MacfleetError) as caught:
            self.port.resolve(reference)
        (found,) = caught.value.diagnostics
        assert found.mend
        return found


class Keychain:
    """A keychain that knows one password."""

    def __init__(self, known=None, answer=None):
        self.known = known or {}
        self.answer = answer

    def get_password(self, service_name, username):
        if self.answer is not None:
            return self.answer()
        return self.known.get((service_name, username))


@pytest.fixture
def ask(tmp_path):
    return Asking(tmp_path, environ={"TOKEN": PLANTED, "EMPTY": "", "SHORT": "abc"})


def write(path, text, mode=0o600):
    path.write_text(text)
    path.chmod(mode)


def program(folder, name, body):
    write(folder / name, f"#!/bin/sh\n{body}\n", 0o700)


def test_a_variable_of_the_environment_is_read_and_learned_before_it_is_returned(ask):
    assert ask("env:TOKEN") == PLANTED
    assert [secret.reveal() for secret in ask.learned] == [PLANTED]


def test_a_missing_variable_is_named_with_the_other_kinds(ask):
    found = ask.refused("env:NO_SUCH")
    assert found.code == "E1202"
    assert "NO_SUCH" in found.summary
    assert all(spelling in found.mend for spelling in KINDS.values())


@pytest.mark.parametrize("reference", ["env:EMPTY", "env:SHORT"])
def test_what_cannot_be_kept_out_of_output_is_refused_as_a_secret(ask, reference):
    assert ask.refused(reference).code == "E1203"


@pytest.mark.parametrize(
    ("secret", "warned"),
    [
        ("node", 1),
        ("password\n", 1),
        ("Registry", 1),
        ("20261123", 1),
        ("p4$$w0r", 1),
        ("correct horse battery", 0),
        ("passwordpassword", 0),
        ("hunter2-and-more", 0),
    ],
)
def test_a_secret_that_stands_everywhere_is_used_with_a_warning(tmp_path, secret, warned):
    ask = Asking(tmp_path, environ={"COMMON": secret})
    assert ask("env:COMMON") == ask("env:COMMON") == secret
    assert [(each.code, each.severity) for each in ask.warned] == [("E1207", Severity.WARNING)] * warned
    said = "".join(f"{each.summary}{each.why}{each.mend}" for each in ask.warned)
    assert secret.strip() not in said


@pytest.mark.parametrize(
    "typed", ["hunter2-typed-here", "env", "env:", "evn:TOKEN-value", "https://u:pw@host"]
)
def test_what_is_no_reference_is_refused_without_repeating_it(ask, typed):
    found = ask.refused(typed)
    assert found.code == "E1201"
    shown = f"{found.summary} {found.why}"
    assert typed not in shown
    assert "-value" not in found.mend


def test_a_misspelled_kind_is_guessed(ask):
    assert "Did you mean keyring:SERVICE/USER?" in ask.refused("keyrign:a/b").mend


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_file_is_read_without_the_line_break_at_its_end(ask, end):
    write(ask.root / "token", PLANTED + end)
    assert ask("file:token") == PLANTED
    assert ask.warned == []


def test_only_one_line_break_is_taken_off_a_file(ask):
    write(ask.root / "key", "-----BEGIN-----\nabc\n\n")
    assert ask("file:key") == "-----BEGIN-----\nabc\n"


def test_an_absolute_path_and_the_home_folder_are_understood(ask, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "token", PLANTED)
    assert ask(f"file:{tmp_path}/token") == ask("file:~/token") == PLANTED


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_file_that_others_may_touch_is_read_with_a_warning(ask, mode):
    write(ask.root / "token", PLANTED, mode)
    assert ask("file:token") == PLANTED
    (warning,) = ask.warned
    assert warning.severity is Severity.WARNING
    assert f"{mode:04o}" in warning.summary
    assert warning.mend == f"chmod 600 {ask.root}/token"


def test_the_mode_is_checked_on_the_file_a_link_leads_to(ask):
    write(ask.root / "token", PLANTED, 0o644)
    (ask.root / "link").symlink_to("token")
    assert ask("file:link") == PLANTED
    assert len(ask.warned) == 1


def test_a_missing_file_is_named(ask):
    found = ask.refused("file:nowhere")
    assert (found.code, found.where.file) == ("E1202", "nowhere")


def test_a_folder_a_pipe_and_a_huge_file_are_refused_and_none_is_waited_for(ask):
    (ask.root / "folder").mkdir()
    os.mkfifo(ask.root / "pipe", 0o600)
    write(ask.root / "huge", "x" * 70_000)
    (ask.root / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("folder", "pipe", "huge", "binary"):
        assert ask.refused(f"file:{name}").code == "E1203", name


def test_a_program_prints_the_secret_and_no_shell_reads_the_words(ask):
    program(ask.root, "manager", 'printf "%s\\n" "$@"')
    assert ask("cmd:./manager 'two words' $HOME *") == "two words\n$HOME\n*"


def test_a_program_runs_in_the_fleet_folder_with_nothing_to_read(ask):
    program(ask.root, "manager", "cat; pwd")
    assert ask("cmd:./manager") == str(ask.root)


def test_a_program_that_fails_is_shown_with_its_last_words(ask):
    program(ask.root, "manager", "echo half-a-secret; echo first >&2; echo vault is locked >&2; exit 3")
    found = ask.refused("cmd:./manager")
    assert found.code == "E1204"
    assert found.summary == "./manager ended with 3: vault is locked"


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path):
    ask = Asking(tmp_path, deadline=0.5)
    program(tmp_path, "manager", "sleep 600 & echo $! > child; echo $$ > self; wait")
    found = ask.refused("cmd:./manager")
    assert (found.code, "0.5 s" in found.summary) == ("E1204", True)
    for name in ("child", "self"):
        wait_until_dead((tmp_path / name).read_text().strip())


def wait_until_dead(process):
    until = time.monotonic() + 15
    # A process that ends while it is looked at raises one or the other.
    with suppress(FileNotFoundError, ProcessLookupError):
        while Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX":
            assert time.monotonic() < until, "the process lives"
            time.sleep(0.02)


def test_a_missing_program_and_an_open_quote_are_explained(ask):
    assert ask.refused("cmd:no-such-program read").code == "E1205"
    assert ask.refused("cmd:echo 'open").code == "E1201"


def test_a_program_is_run_once_however_many_threads_want_its_secret(ask):
    program(ask.root, "manager", f"echo x >> runs; echo {PLANTED}")
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(ask("cmd:./manager"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [PLANTED] * 8
    assert (ask.root / "runs").read_text() == "x\n"


def test_the_keychain_is_asked_for_service_and_user(tmp_path):
    known = {("https://registry.example/v2", "ops"): PLANTED}
    ask = Asking(tmp_path, keyring=lambda: Keychain(known))
    assert ask("keyring:https://registry.example/v2/ops") == PLANTED
    found = ask.refused("keyring:registry.example/ops")
    assert (found.code, found.mend) == ("E1202", "keyring set registry.example ops")
    assert ask.refused("keyring:alone").code == "E1201"


def test_a_keychain_that_fails_or_never_answers_is_an_error_with_a_deadline(tmp_path):
    def locked():
        raise RuntimeError("it is locked")

    found = Asking(tmp_path, keyring=lambda: Keychain(answer=locked)).refused("keyring:a/b")
    assert (found.code, "it is locked" in found.summary) == ("E1204", True)
    gate = threading.Event()
    silent = Asking(tmp_path, keyring=lambda: Keychain(answer=gate.wait), deadline=0.05)
    assert silent.refused("keyring:a/b").code == "E1204"
    gate.set()


def test_without_the_keyring_library_the_extra_is_named(ask, monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    found = ask.refused("keyring:a/b")
    assert (found.code, found.mend) == ("E1205", "pip install 'macfleet[keyring]'")


@pytest.fixture
def encrypted(tmp_path, monkeypatch):
    """A folder in which `secrets.yml` is encrypted and `vars.yml` holds one encrypted value."""
    # ansible-core has an environment of its own, so that nothing of it is imported by chance.
    monkeypatch.setenv("PATH", os.pathsep.join([str(ORACLE), os.environ["PATH"]]))
    program_path = shutil.which("ansible-vault")
    if program_path is None:
        pytest.skip("no ansible-core here: run scripts/oracle.sh")
    for name in [name for name in os.environ if name.startswith("ANSIBLE_")]:
        monkeypatch.delenv(name)
    write(tmp_path / "password", "open sesame")

    def vault(*words, text=None):
        words = [program_path, *words[:1], "--vault-password-file", "password", *words[1:]]
        return subprocess.run(
            words, cwd=tmp_path, input=text, check=True, capture_output=True, text=True
        ).stdout

    write(
        tmp_path / "secrets.yml", f"registry:\n  password: {PLANTED}\n  pin: 01234\n  others: [first, yes]\n"
    )
    vault("encrypt", "secrets.yml")
    value = vault("encrypt_string", "--stdin-name", "token", text="inline secret é")
    write(tmp_path / "vars.yml", f"plain: not encrypted\n{value}\n")
    write(tmp_path / "one", f"{PLANTED}\n")
    vault("encrypt", "one")
    return tmp_path


@pytest.mark.slow
def test_values_of_a_vault_file_are_read_by_key(encrypted):
    ask = Asking(encrypted, vault_password=KEPT)
    assert ask("vault:secrets.yml#registry.password") == PLANTED
    assert ask("vault:secrets.yml#registry.pin") == "01234"
    assert ask("vault:secrets.yml#registry.others.0") == "first"
    assert ask("vault:one") == PLANTED
    assert ask("vault:vars.yml#token") == "inline secret é"
    assert "open sesame" in {secret.reveal() for secret in ask.learned}


@pytest.mark.slow
def test_files_of_several_vault_ids_are_each_opened_with_their_own_password(encrypted):
    listed = []
    for name in ("dev", "prod"):
        write(encrypted / f"{name}.pw", f"the password of {name}")
        write(encrypted / f"{name}.yml", f"token: the token of {name}\n")
        listed.append(f"{name}@{encrypted}/{name}.pw")
        words = ["encrypt", "--vault-id", listed[-1], "--encrypt-vault-id", name, f"{name}.yml"]
        subprocess.run(
            [shutil.which("ansible-vault"), *words], cwd=encrypted, check=True, capture_output=True
        )
    assert Asking(encrypted, vault_password=DEV)("vault:dev.yml#token") == "the token of dev"
    assert Asking(encrypted, vault_password=DEV).refused("vault:prod.yml#token").code == "E1204"
    write(encrypted / "ansible.cfg", f"[defaults]\nvault_identity_list = {', '.join(listed)}\n")
    ask = Asking(encrypted)
    assert [ask(f"vault:{name}.yml#token") for name in ("dev", "prod")] == [
        "the token of dev",
        "the token of prod",
    ]


@pytest.mark.slow
def test_a_vault_that_does_not_open_or_lacks_the_key_says_so_and_nothing_else(encrypted, monkeypatch):
    write(encrypted / "wrong", "not the password")
    for password, reference in ((WRONG, "vault:one"), ("", "vault:one"), (WRONG, "vault:vars.yml#token")):
        found = Asking(encrypted, vault_password=password).refused(reference)
        assert (found.code, found.where.file) == ("E1204", reference.partition(":")[2].partition("#")[0])
        assert all(way in found.mend for way in ("MACFLEET_VAULT_PASSWORD", "vault_identity_list"))
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(encrypted / "password"))
    ask = Asking(encrypted)
    found = ask.refused("vault:secrets.yml#registry.passwort")
    assert (found.code, PLANTED in str(found)) == ("E1202", False)
    assert ask.refused("vault:secrets.yml#registry").code == "E1203"


def test_what_is_not_encrypted_is_refused_and_not_shown(ask):
    write(ask.root / "vars.yml", f"token: {PLANTED}\n")
    for reference in ("vault:vars.yml#token", "vault:vars.yml"):
        found = ask.refused(reference)
        assert found.code == "E1203"
        assert PLANTED not in f"{found.summary}{found.why}{found.mend}{found.snippet}"


def test_without_ansible_the_extra_is_named(ask, monkeypatch):
    write(ask.root / "v.yml", "$ANSIBLE_VAULT;1.1;AES256\n00\n")
    monkeypatch.setenv("PATH", str(ask.root))
    monkeypatch.setattr(secret_vault.sys, "executable", str(ask.root / "python"))
    found = ask.refused("vault:v.yml#a")
    assert (found.code, found.mend) == ("E1205", "pip install 'macfleet[vault]'")


def test_the_vault_password_does_not_come_from_a_vault(tmp_path):
    assert Asking(tmp_path, vault_password=CIRCLE).refused("vault:v.yml#b").code == "E1201"
