"""SSH signatures over a run's manifest, which seals every other file of the run."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.store.sealing import sync

NAMESPACE = "macfleet-run"
SIGNATURE = "signature"
_TIMEOUT = 120
_KEY = re.compile(r"with (?P<type>\S+) key (?P<key>SHA256:\S+)")


@dataclass(frozen=True, slots=True)
class Signed:
    """What a run's signature is worth.

    Attributes:
        present: whether there is one.
        key: type and fingerprint, such as ``ED25519 SHA256:…``; empty without a good signature.
        signer: the principal an allowed-signers file gives the key; empty when nobody vouches for it.
        problem: why the signature does not hold; None when it does, or there is none.
    """

    present: bool
    key: str = ""
    signer: str = ""
    problem: Diagnostic | None = None

    @property
    def words(self) -> str:
        """The state in a few words."""
        if not self.present:
            return "unsigned"
        if self.problem is not None:
            return "signature refused"
        return f"signed by {self.signer or 'a key nobody vouches for'} ({self.key})"


def sign_folder(folder: Path, key: Path) -> Signed:
    """Sign a sealed run's manifest and put ``signature`` beside it; no other file is touched.

    ``ssh-keygen`` asks for the key's passphrase itself or takes it from the agent.

    Args:
        folder: a finished run, whose files were verified.
        key: private key, or a public one whose private half an agent holds.

    Raises:
        MacfleetError: E0960 the run is signed already, E0961 the key cannot sign.
    """
    target = folder / SIGNATURE
    if target.exists():
        raise MacfleetError(_already(folder.name))
    with tempfile.TemporaryDirectory(prefix="macfleet-sign-") as aside:
        copy = Path(aside) / "manifest.json"
        copy.write_bytes((folder / "manifest.json").read_bytes())
        done = _keygen("sign", "-f", str(key), "-n", NAMESPACE, str(copy), attended=True)
        made = copy.with_name("manifest.json.sig")
        if done.returncode != 0 or not made.is_file():
            raise MacfleetError(_cannot_sign(key, done.stderr))
        _add(target, made.read_bytes())
    return check_folder(folder)


def check_folder(folder: Path, allowed_signers: Path | None = None) -> Signed:
    """Check the signature of a run's manifest.

    Args:
        folder: a finished run.
        allowed_signers: OpenSSH allowed-signers file; with it, a good signature by any other key is refused.

    Raises:
        MacfleetError: E0964 the allowed-signers file is not there, or ssh-keygen is missing.
    """
    if allowed_signers is not None and not allowed_signers.is_file():
        raise MacfleetError(_no_signers(allowed_signers))
    target = folder / SIGNATURE
    if not target.is_file():
        return Signed(present=False)
    manifest = (folder / "manifest.json").read_bytes()
    done = _keygen("check-novalidate", "-n", NAMESPACE, "-s", str(target), stdin=manifest)
    found = _KEY.search(done.stdout)
    if done.returncode != 0 or found is None:
        return Signed(present=True, problem=_bad(folder.name, done.stderr or done.stdout))
    key = f"{found['type']} {found['key']}"
    if allowed_signers is None:
        return Signed(present=True, key=key)
    named = _keygen("find-principals", "-s", str(target), "-f", str(allowed_signers))
    signer = named.stdout.strip().splitlines()[0] if named.stdout.strip() else ""
    rule = ("-n", NAMESPACE, "-s", str(target), "-f", str(allowed_signers), "-I", signer)
    if not signer or _keygen("verify", *rule, stdin=manifest).returncode != 0:
        return Signed(present=True, key=key, problem=_not_allowed(folder.name, key, allowed_signers))
    return Signed(present=True, key=key, signer=signer)


def _keygen(
    verb: str, *arguments: str, stdin: bytes = b"", attended: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run ``ssh-keygen -Y``; only an attended one may ask for a passphrase, at the terminal."""
    try:
        return subprocess.run(
            ["ssh-keygen", "-Y", verb, *arguments],
            input=None if attended else stdin.decode("utf-8"),
            stdin=subprocess.DEVNULL if attended else None,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except FileNotFoundError as error:
        raise MacfleetError(
            Diagnostic("E0964", "ssh-keygen is not on the PATH", mend="Install OpenSSH 8.1 or newer.")
        ) from error
    except subprocess.TimeoutExpired as error:
        raise MacfleetError(
            Diagnostic("E0961", "ssh-keygen waited too long", mend="Add the key to an agent: ssh-add KEY")
        ) from error


def _add(target: Path, content: bytes) -> None:
    """Put one file into a read-only folder, whole or not at all."""
    folder = target.parent
    mode = folder.stat().st_mode
    folder.chmod(0o755)
    try:
        aside = target.with_name(f"{target.name}.new")
        aside.write_bytes(content)
        sync(aside)
        aside.chmod(0o444)
        aside.rename(target)
        sync(folder)
    finally:
        folder.chmod(mode)


def _already(run_id: str) -> Diagnostic:
    return Diagnostic(
        "E0960",
        f"run {run_id} is signed already",
        why="A signature is added once and never replaced, like everything in a finished run.",
        mend=f"macfleet run verify {run_id}",
        exit_code=ExitCode.HELD,
    )


def _cannot_sign(key: Path, said: str) -> Diagnostic:
    return Diagnostic(
        "E0961",
        f"{key} cannot sign",
        why=f"ssh-keygen says: {' '.join(said.split()) or 'nothing'}",
        mend="Name a private key, or a public one that an agent holds: --key ~/.ssh/id_ed25519",
    )


def _no_signers(path: Path) -> Diagnostic:
    return Diagnostic(
        "E0964",
        f"there is no allowed-signers file {path}",
        why="It names whose signatures count, one line a person: ops@example ssh-ed25519 AAAA…",
        mend="Write it, or leave --allowed-signers out.",
    )


def _bad(run_id: str, said: str) -> Diagnostic:
    return Diagnostic(
        "E0962",
        f"run {run_id}: the signature does not fit manifest.json",
        why=f"Manifest or signature changed after signing. ssh-keygen says: {' '.join(said.split())}",
        mend="Take the run from the bundle again, or measure again.",
        exit_code=ExitCode.HELD,
    )


def _not_allowed(run_id: str, key: str, allowed: Path) -> Diagnostic:
    return Diagnostic(
        "E0963",
        f"run {run_id} is signed by a key that {allowed.name} does not allow",
        why=f"The key is {key}; allowed signers must name it, for namespace {NAMESPACE} where they name one.",
        mend=f"If you trust it, add its line to {allowed}.",
        exit_code=ExitCode.HELD,
    )
