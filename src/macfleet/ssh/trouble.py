"""Every way a node cannot be reached, as diagnostics with their mend."""

from __future__ import annotations

from macfleet.model.diagnostic import Diagnostic, Severity
from macfleet.model.exit_codes import ExitCode
from macfleet.model.shell import quote
from macfleet.ssh.options import Remark


def no_answer(node: str, place: str, reason: str) -> Diagnostic:
    """Nothing listens, no route, no such name, or no answer in time."""
    return Diagnostic(
        code="E0401",
        summary=f"cannot connect to {place}: {reason}",
        why="No SSH server answered there.",
        mend="Check that the Mac is awake and Remote Login is on, "
        f"then `macfleet ping --limit {quote(node)}`.",
        node=node,
        exit_code=ExitCode.UNREACHABLE,
    )


def login_refused(node: str, place: str, user: str, tried: str, *, ended: bool = False) -> Diagnostic:
    """The server refused every identity, or hung up before all were tried."""
    hung_up = " The server hung up then: MaxAuthTries counts each of them." if ended else ""
    fewer = " Name it with IdentitiesOnly yes in ssh_config, so that no other is offered." if ended else ""
    certified = (
        f" A certificate has an end and names: `ssh-keygen -L -f KEY-cert.pub` has to list {user}."
        if "with a certificate" in tried
        else ""
    )
    return Diagnostic(
        code="E0405",
        summary=f"{place} refused the login of {user}",
        why=f"Tried: {tried}.{hung_up}",
        mend="Name the right key as `ansible_ssh_private_key_file` in the inventory, or put its public "
        f"half into the Mac's ~/.ssh/authorized_keys.{certified}{fewer}",
        node=node,
        exit_code=ExitCode.UNREACHABLE,
    )


def identity_unusable(node: str, identity: str, reason: str) -> Diagnostic:
    """The named private key cannot be read."""
    return Diagnostic(
        code="E0406",
        summary=f"the identity {identity} cannot be used: {reason}",
        why="The inventory or ssh_config names this private key for the node.",
        mend=f"Check the path; load a key with a passphrase into the agent: `ssh-add {quote(identity)}` "
        "(`ssh-add -l` says whether an agent answers and what it holds), "
        "or name the passphrase: MACFLEET_SSH_PASSPHRASE=keyring:SERVICE/USER.",
        node=node,
        exit_code=ExitCode.UNREACHABLE,
    )


def turned_away(node: str, place: str, attempts: int, said: str) -> Diagnostic:
    """The server closed each connection before authentication."""
    heard = f" It said: {said}." if said else ""
    return Diagnostic(
        code="E0407",
        summary=f"{place} closed {attempts} connections before authentication",
        why=f"Too many connections were starting at once (MaxStartups), or it is no SSH server.{heard}",
        mend="Try again with a smaller `--forks`, or raise MaxStartups on the host.",
        node=node,
        exit_code=ExitCode.UNREACHABLE,
    )


def penalised(node: str, place: str) -> Diagnostic:
    """The server bans this controller's address for a while."""
    return Diagnostic(
        code="E0408",
        summary=f"{place} refuses this controller for a while",
        why="OpenSSH penalises addresses whose logins fail or break off (PerSourcePenalties).",
        mend="Wait some minutes, mend the login, and exempt the controller with PerSourcePenaltyExemptList.",
        node=node,
        exit_code=ExitCode.UNREACHABLE,
    )


def connection_lost(node: str, doing: str, reason: str) -> Diagnostic:
    """An open connection broke."""
    return Diagnostic(
        code="E0409",
        summary=f"the connection broke while {doing}: {reason}",
        why="What the script had done by then is unknown; macfleet runs nothing twice on its own.",
        mend=f"`macfleet ping --limit {quote(node)}`; then run the command again: it probes first.",
        node=node,
        exit_code=ExitCode.UNREACHABLE,
    )


def too_late(node: str, seconds: float, ended: str) -> Diagnostic:
    """A script was still running after its deadline."""
    return Diagnostic(
        code="E0410",
        summary=f"the script was still running after {seconds:g} s",
        why=f"Every remote script has a deadline. {ended}",
        mend=f"See what hangs on the node: macfleet exec -l {node} -- ps -axo pid,etime,command",
        node=node,
        exit_code=ExitCode.NODE_FAILED,
    )


def too_much(node: str, limit: int) -> Diagnostic:
    """A script wrote more than the controller is willing to keep."""
    return Diagnostic(
        code="E0411",
        summary=f"the script wrote more than {limit // 2**20} MiB of output",
        why="Output is kept in the controller's memory; a cut answer would be a wrong one.",
        mend="Write large results to a file on the node and fetch that.",
        node=node,
        exit_code=ExitCode.NODE_FAILED,
    )


def session_refused(node: str, reason: str) -> Diagnostic:
    """The server is logged in but opens no session."""
    return Diagnostic(
        code="E0412",
        summary=f"the SSH server opened no session: {reason}",
        why="The login worked; MaxSessions or a forced command may forbid sessions.",
        mend="Check MaxSessions, ForceCommand and the account's shell on the node.",
        node=node,
        exit_code=ExitCode.UNREACHABLE,
    )


def bad_route(node: str, reason: str) -> Diagnostic:
    """ssh_config or the jump specification cannot be followed."""
    return Diagnostic(
        code="E0413",
        summary=f"the SSH route cannot be followed: {reason}",
        why="ProxyJump in the inventory's `ansible_ssh_common_args` or in ssh_config leads nowhere.",
        mend="Compare with `ssh -G`, and correct `ansible_ssh_common_args` or ssh_config.",
        node=node,
        exit_code=ExitCode.USAGE,
    )


def bad_config(node: str, reason: str) -> Diagnostic:
    """A line of ssh_config cannot be understood."""
    return Diagnostic(
        code="E0414",
        summary=f"ssh_config cannot be followed: {reason}",
        why="A line that is guessed at could lead to another host or trust another key.",
        mend="Correct the line; `ssh -G HOST` judges it as macfleet does.",
        node=node,
        exit_code=ExitCode.USAGE,
    )


def not_followed(node: str, host: str, remark: Remark) -> Diagnostic:
    """ssh_config asks for something that must not be passed over."""
    return Diagnostic(
        code="E0415",
        summary=f"{remark.where}: {remark.keyword} {remark.value} cannot be followed for {host}",
        why=f"What ssh would do with it, macfleet does not: {remark.why}.",
        mend="Change it, or take the host out of it with a Host block before it.",
        node=node,
        exit_code=ExitCode.USAGE,
    )


def otherwise(host: str, remark: Remark) -> Diagnostic:
    """A setting of ssh_config that macfleet does not follow, being stricter."""
    return Diagnostic(
        code="E0416",
        summary=f"{remark.where}: {remark.keyword} {remark.value} is not followed for {host}",
        why=f"{remark.why[:1].upper()}{remark.why[1:]}.",
        severity=Severity.WARNING,
        exit_code=ExitCode.DONE,
    )


def fell_silent(node: str, doing: str, seconds: float) -> Diagnostic:
    """The peer of an open connection gave no sign of life."""
    return Diagnostic(
        code="E0421",
        summary=f"no sign of life for {seconds:.0f} s while {doing}: the connection was given up",
        why="The Mac sleeps, hangs, restarts, or the network lost it. What the script had done is unknown.",
        mend=f"`macfleet ping --limit {quote(node)}`; then run the command again: it probes first.",
        node=node,
        exit_code=ExitCode.UNREACHABLE,
    )


def no_forwarding(node: str, place: str, reason: str) -> Diagnostic:
    """A jump host is logged in but passes no connection on."""
    return Diagnostic(
        code="E0422",
        summary=f"the jump host passes no connection on to {place}: {reason}",
        why="The login worked. AllowTcpForwarding or PermitOpen may forbid it, or nothing listens there.",
        mend="Check AllowTcpForwarding and PermitOpen on the jump host, and the address of the node.",
        node=node,
        exit_code=ExitCode.UNREACHABLE,
    )


def proxy_failed(node: str, place: str, command: str, said: str) -> Diagnostic:
    """The ProxyCommand ended before anybody was logged in."""
    return Diagnostic(
        code="E0423",
        summary=f"the ProxyCommand to {place} failed: {' '.join(said.split())}",
        why=f"ssh_config reaches the node through `{command}`.",
        mend="Run the command by hand: it should print a line that begins with SSH-2.0.",
        node=node,
        exit_code=ExitCode.UNREACHABLE,
    )


def no_shell(node: str, exit_status: int, said: str) -> Diagnostic:
    """The login worked, but the account answers a script with something else."""
    words = " ".join(said.split())[:200]
    return Diagnostic(
        code="E0427",
        summary=f"the account runs no scripts: what should have said one word ended with {exit_status}"
        + (f" and said: {words}" if words else ""),
        why="The login worked. ForceCommand, a command= in authorized_keys, or a login shell such as "
        "/usr/bin/false takes the place of what macfleet sends.",
        mend="Give the account a shell on the Mac (`dscl . -read /Users/NAME UserShell`), "
        "or log in as another.",
        node=node,
        exit_code=ExitCode.UNREACHABLE,
    )
