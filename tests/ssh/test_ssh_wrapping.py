"""Scripts as they are typed on the remote side, under the shells a Mac has."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sshd_server import living_members, wait_until

from macfleet.ssh.wrapping import after_noise, announcement, as_command, ending, on_stdin

NONCE = "macfleet-0123456789abcdef"
SHELLS = [shell for shell in ("sh", "dash", "bash", "zsh") if shutil.which(shell)]
LOGIN_SHELLS = [*SHELLS, *(shell for shell in ("fish", "tcsh") if shutil.which(shell))]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("script", "exit_status", "stdout"),
    [
        ("echo a; exit 3", 3, b"a\n"),
        ("cat\necho b", 0, b"b\n"),
        ("cat <<E\n}\nE\n# end", 0, b"}\n"),
        ("f() { echo $1; }\nf 'it''s'", 0, b"its\n"),
    ],
)
def test_a_script_on_stdin_runs_whole_in_every_shell(shell, script, exit_status, stdout) -> None:
    done = subprocess.run([shell, "-s"], input=on_stdin(script, NONCE), capture_output=True, check=False)
    assert (done.returncode, after_noise(NONCE, done.stdout)) == (exit_status, stdout)
    said = announcement(NONCE, done.stderr)
    assert said is not None
    assert said[1] == b""


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_cut_on_its_way_runs_nothing(shell, tmp_path: Path) -> None:
    whole = on_stdin(f"touch {tmp_path}/one\ntouch {tmp_path}/two", NONCE)
    for kept in range(0, len(whole) - len("\n} </dev/null\n"), 5):
        subprocess.run([shell, "-s"], input=whole[:kept], capture_output=True, check=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if shell != "zsh"])  # zsh names no line here
def test_line_numbers_of_a_script_stay(shell) -> None:
    script = "true\ntrue\n. /nowhere/at-all"
    done = subprocess.run([shell, "-s"], input=on_stdin(script, NONCE), capture_output=True, check=False)
    assert b"3" in done.stderr.split(b"/nowhere")[0].split(b"\n")[-1]


@pytest.mark.parametrize("login_shell", LOGIN_SHELLS)
@pytest.mark.parametrize(
    ("script", "stdout"),
    [
        ("cat; echo \"$((1 + 1)) 'x' !\"", b"in 2 'x' !\n"),
        ("cat\necho b!x\n", b"in b!x\n"),
        (r"printf 'a\\b\n'; printf '%s\n' 'c\d' 'it'\''s'", b"a\\b\nc\\d\nit's\n"),
        ("set --; x=$#; echo `echo $x` \u00e9 100%", b"0 \xc3\xa9 100%\n"),
    ],
)
def test_a_command_is_understood_by_every_login_shell(login_shell, script, stdout) -> None:
    command = [login_shell, "-c", as_command(script, NONCE)]
    done = subprocess.run(command, input=b"in ", capture_output=True, check=False)
    assert (done.returncode, after_noise(NONCE, done.stdout)) == (0, stdout)


@given(st.text())
def test_a_command_has_only_signs_that_mean_the_same_to_fish_and_tcsh(script) -> None:
    command = as_command(script, NONCE)
    assert command.isascii()
    assert command.isprintable()
    assert command.count("'") == 4
    assert not any(each in command for each in ("\\\\", "\\'", "!"))


@pytest.mark.slow
@pytest.mark.parametrize("login_shell", LOGIN_SHELLS)
@pytest.mark.parametrize("script", ["sleep 300", "trap '' TERM; echo; while :; do sleep 1; done"])
def test_ending_ends_the_announced_group(login_shell, script) -> None:
    process = subprocess.Popen(
        [login_shell, "-c", as_command(script, NONCE)], stderr=subprocess.PIPE, start_new_session=True
    )
    assert process.stderr is not None
    said = announcement(NONCE, process.stderr.readline())
    assert said == (process.pid, b"")
    killer = subprocess.Popen([login_shell, "-c", ending([process.pid])])
    assert process.wait(20) < 0
    assert killer.wait(20) == 0
    process.stderr.close()
    wait_until(lambda: not living_members(process.pid))


@given(before=st.binary(max_size=50), after=st.binary(max_size=50), group=st.integers(1, 2**22))
def test_the_announcement_is_taken_out_wherever_it_stands(before, after, group) -> None:
    stderr = before + f"{NONCE} {group}\n".encode() + after
    assert announcement(NONCE, stderr) == (group, before + after)


@given(st.binary(max_size=100))
def test_without_the_announcement_nothing_is_learned(stderr) -> None:
    assert announcement(NONCE, stderr) is None


@pytest.mark.parametrize("noise", [b"", b"welcome\n", b"no end of line", b"macfleet-", b"\xff\x00\n"])
def test_what_stands_before_the_script_is_left_out(noise) -> None:
    assert after_noise(NONCE, noise) is None
    assert after_noise(NONCE, noise + NONCE.encode()) is None
    assert after_noise(NONCE, noise + f"{NONCE}\n{NONCE}\n".encode()) == f"{NONCE}\n".encode()
