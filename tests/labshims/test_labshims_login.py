"""What a login to a lab node sees: a Mac's face and BSD's programs."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.lab


def test_the_login_has_a_macs_path_home_and_shell(node):
    done = node('echo "$PATH"; pwd; id -u; id -gn; echo "${ZSH_VERSION:+zsh}"; sudo -n id -u')
    assert done.stdout.split("\n")[:6] == [
        "/usr/bin:/bin:/usr/sbin:/sbin",
        "/Users/ops",
        "501",
        "staff",
        "zsh",
        "0",
    ]


def test_the_kernel_and_system_are_a_macs(node):
    done = node(
        "uname -sm; sw_vers -productName; sysctl -n hw.model hw.pagesize; sysctl -n no.such.oid; echo $?"
    )
    assert done.stdout.split("\n")[:5] == ["Darwin arm64", "macOS", "Mac16,10", "16384", "1"]
    assert "unknown oid 'no.such.oid'" in done.stderr


@pytest.mark.parametrize(
    "name",
    [
        "timeout",
        "flock",
        "sha256sum",
        "md5sum",
        "python3",
        "docker",
        "docker-compose",
        "dockerd",
        "ip",
        "ss",
        "free",
        "nproc",
        "setsid",
        "tac",
        "colima",
        "brew",
        "systemctl",
        "apt",
        "dpkg",
        "wget",
        "shuf",
        "numfmt",
        "stdbuf",
        "realpath.gnu",
    ],
)
def test_linux_programs_are_not_on_the_login_path(node, name):
    assert node(f"command -v {name}").returncode == 1


def test_a_missing_program_is_127_as_zsh_says_it(node):
    done = node("colima status")
    assert done.returncode == 127
    assert done.stderr == "zsh:1: command not found: colima\n"


@pytest.mark.parametrize(
    ("script", "answer"),
    [
        ("stat -f '%Su:%Sg %Lp %z' f", "ops:staff 644 6"),
        ("stat -f %m f | grep -c '^[0-9]*$'", "1"),
        ("sed -i '' s/hello/world/ f && cat f", "world"),
        ("sed -i.bak s/h/j/ f && cat f f.bak", "jello\nhello"),
        ("sed -En 's/(l+)/<\\1>/p' f", "he<ll>o"),
        ("date -u -r 0 +%Y-%m-%dT%H:%M:%SZ", "1970-01-01T00:00:00Z"),
        ("date -u -r 0 -v+1d +%F", "1970-01-02"),
        ("date -j -u -f '%Y-%m-%d %H:%M:%S' '2026-01-02 03:04:05' +%s", "1767323045"),
        ("date -u -r 0 +%N", "N"),
        ("printf hi | base64 | base64 -D", "hi"),
        ("base64 -i f -o g; base64 -d -i g", "hello"),
        ("ln -s f link; readlink link; readlink -f link | sed 's,.*/,,'", "f\nf"),
        ("basename $(mktemp -d -t stage) | cut -d. -f1", "stage"),
        ("d=$(mktemp -d) && test -d $d && rmdir $d && echo made", "made"),
        ("du -sk f | cut -f1", "4"),
        ("printf '' | xargs echo never", ""),
        ("printf 'a b' | xargs -n1 echo", "a\nb"),
        ("printf 'a\\nb\\n' | xargs -I % echo x%", "xa\nxb"),
        ("shasum -a 256 f | cut -c1-12", "5891b5b522d5"),
        ("md5 -q f", "b1946ac92492d2347c6235b4d2611184"),
        ("tar -cf a.tar f && tar -tf a.tar", "f"),
        ("ps -o pid=,command= -p 1 | grep -c svscan", "1"),
        ("ps -axo pid,ppid,rss,command | head -n 1 | tr -s ' '", " PID PPID RSS COMMAND"),
        (
            "df -k / | head -n 1 | tr -s ' '",
            "Filesystem 1024-blocks Used Available Capacity iused ifree %iused Mounted on",
        ),
        ("df -k ~ | tail -n 1 | grep -c '/System/Volumes/Data$'", "1"),
        ("mount | head -n 1", "/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)"),
    ],
)
def test_bsd_forms_work(node, script, answer):
    done = node(f"cd $(mktemp -d) && echo hello > f && chmod 644 f && {script}")
    assert done.stdout.rstrip("\n") == answer, done.stderr


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("stat -c %s /", 1),
        ("sed --version", 1),
        ("date -d yesterday", 1),
        ("base64 -w0 /dev/null", 64),
        ("readlink -e /", 1),
        ("du --max-depth=1 /tmp", 64),
        ("xargs -d , echo", 1),
        ("grep -P x /etc/hosts", 2),
        ("find / -maxdepth 0 -printf x", 1),
        ("head -n -1 /etc/hosts", 1),
        ("cp --parents /etc/hosts /tmp", 64),
        ("ps --no-headers", 1),
        ("ls --time-style=iso /", 1),
    ],
)
def test_a_gnu_only_flag_fails_as_on_a_mac(node, script, status):
    done = node(script)
    assert done.returncode == status
    assert done.stdout == ""
    assert done.stderr


def test_memory_figures_have_the_macs_form_and_add_up(node):
    done = node("vm_stat; sysctl -n hw.memsize kern.memorystatus_level; memory_pressure -Q")
    rows = dict(line.split(":", 1) for line in done.stdout.splitlines() if line.startswith("Pages"))
    pages = {name: int(value.strip().rstrip(".")) for name, value in rows.items()}
    size, level = (int(line) for line in done.stdout.splitlines() if line.isdigit())
    assert "page size of 16384 bytes" in done.stdout
    assert 0 < pages["Pages free"] * 16384 < size
    assert f"free percentage: {level}%" in done.stdout or abs(level - 50) <= 50
