"""Homebrew, Colima and the boundary of the VM."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.lab


def test_brew_refuses_root_and_unknown_formulae(node):
    assert "extremely dangerous" in node("sudo -n /opt/homebrew/bin/brew install colima").stderr
    done = node("/opt/homebrew/bin/brew install no-such-thing")
    assert done.returncode == 1
    assert 'No available formula with the name "no-such-thing"' in done.stderr


def test_brew_install_makes_programs_appear_once(colima):
    done = colima.brewed(
        "brew list --versions colima lima docker; command -v llama-server python3.13 limactl"
    )
    assert done.stdout.splitlines() == [
        "colima 0.10.3",
        "lima 2.1.4",
        "docker 26.1.5",
        *(f"/opt/homebrew/bin/{name}" for name in ("llama-server", "python3.13", "limactl")),
    ]
    again = colima.brewed("brew install colima")
    assert again.returncode == 0
    assert "already installed and up-to-date" in again.stderr


def test_status_is_one_json_line_with_bytes(colima):
    status = json.loads(colima.brewed("colima status --json").stdout)
    assert status["docker_socket"] == "unix:///Users/ops/.colima/default/docker.sock"
    assert (status["cpu"], status["memory"], status["disk"]) == (2, 2 * 2**30, 20 * 2**30)
    (row,) = colima.brewed("colima list --json").stdout.splitlines()
    assert json.loads(row)["status"] == "Running"


def test_starting_a_running_vm_applies_nothing_and_exits_0(colima):
    done = colima.brewed("colima start --memory 3; echo rc=$?; colima status --json")
    assert 'level=warning msg="already running, ignoring"' in done.stderr
    assert done.stdout.startswith("rc=0\n")
    assert json.loads(done.stdout.splitlines()[1])["memory"] == 2 * 2**30


def test_the_vm_is_linux_and_exit_codes_cross_limactl_but_not_colima_ssh(colima):
    done = colima.brewed("limactl shell colima -- sh -c 'uname -s; hostname; exit 7'; echo $?")
    assert done.stdout.split() == ["Linux", "colima", "7"]
    done = colima.brewed("colima ssh -- sh -c 'exit 7'; echo $?")
    assert done.stdout == "1\n"
    assert 'level=fatal msg="exit status 7"' in done.stderr


def test_the_engine_has_the_containerd_store(colima):
    info = json.loads(colima.brewed("docker info --format '{{json .}}'").stdout)
    assert info["Driver"] == "overlayfs"
    assert info["DriverStatus"] == [["driver-type", "io.containerd.snapshotter.v1"]]
    assert (info["Name"], info["NCPU"], info["MemTotal"]) == ("colima", 2, 2 * 2**30)


def test_only_mounted_paths_are_visible_in_a_container(colima):
    image = colima.state.images.python
    assert colima.brewed(f"docker pull -q {image}").returncode == 0
    colima("echo here > ~/seen; echo there > /Users/Shared/unseen")
    done = colima.brewed(
        f"docker run --rm -v /Users/ops:/a:ro -v /Users/Shared:/b {image} sh -c 'cat /a/seen; ls /b'"
    )
    assert done.stdout == "here\n"


def test_ports_leave_the_vm_only_through_the_forwarder(colima):
    image = colima.state.images.python
    serve = "python3 -m http.server --directory /etc --bind"
    script = f"""
    docker run -d --init --name hostmode --network host {image} {serve} 0.0.0.0 9101
    docker run -d --init --name inner --network host {image} {serve} 127.0.0.1 9102
    docker run -d --init --name bridged -p 9103:80 {image} {serve} 0.0.0.0 80
    """
    assert colima.brewed(script).returncode == 0
    colima.until("for p in 9101 9102 9103; do curl -sf -o /dev/null localhost:$p || exit 1; done")
    listening = colima("lsof -nP -iTCP -sTCP:LISTEN").stdout
    rows = [line.split() for line in listening.splitlines() if ":91" in line]
    assert {(row[0], row[2], row[8]) for row in rows} == {
        ("ssh", "ops", "*:9101"),
        ("ssh", "ops", "127.0.0.1:9102"),
        ("ssh", "ops", "*:9103"),
    }
    colima("pkill -9 -x ssh")
    dead = colima.brewed(
        "curl -s localhost:9101; echo $?; docker ps; colima list --json; limactl shell colima docker ps -q | wc -l"
    )
    assert dead.stdout.startswith("7\n")
    assert "Cannot connect to the Docker daemon" in dead.stderr
    assert '"status":"Running"' in dead.stdout
    assert dead.stdout.rstrip().endswith("3")
    back = colima.brewed("colima stop && colima start && docker rm -f hostmode inner bridged")
    assert back.returncode == 0, back.stderr


def test_a_change_of_what_is_fixed_is_discarded_with_a_warning_and_exit_0(colima):
    done = colima.brewed(
        "colima stop; colima start --mount-type sshfs --disk 10 --memory 3; echo rc=$?; colima status --json"
    )
    assert "'mountType' cannot be updated after initial setup, discarded" in done.stderr
    assert "disk size cannot be reduced, ignoring..." in done.stderr
    assert "rc=0" in done.stdout
    status = json.loads(done.stdout.splitlines()[-1])
    assert (status["mount_type"], status["disk"], status["memory"]) == ("virtiofs", 20 * 2**30, 3 * 2**30)
    assert colima.brewed("colima stop; colima start --memory 2").returncode == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--mount /Users/ops --mount /Users/ops/models", "overlapping mounts not supported"),
        ("--mount relative", "relative paths not supported"),
        ("--vm-type qemu", "qemu-img not found"),
        ("--vm-type hyperv", "invalid vmType"),
        ("--no-such-flag", "unknown flag: --no-such-flag"),
    ],
)
def test_a_wrong_start_is_fatal(colima, flags, words):
    colima.brewed("colima stop")
    done = colima.brewed(f"colima start --save-config=false {flags}")
    assert done.returncode == 1
    assert words in done.stderr
    assert colima.brewed("colima start").returncode == 0


def test_an_image_of_another_platform_is_told_by_its_manifest(colima):
    foreign = colima.state.images.foreign
    done = colima.brewed(
        f"docker pull -q {foreign} && docker image inspect {foreign} --format '{{{{.Architecture}}}}'"
    )
    assert done.stdout.split()[-1] == "arm64"


COMPOSE = """\
services:
  engine:
    image: IMAGE
    init: true
    command: [-m, /models/small-chat.gguf, --device, none, -ngl, "0", -t, "1", -np, "2", --port, "8080"]
    ports: ["8085:8080"]
    volumes: ["/Users/ops/models:/models:ro"]
    mem_limit: 1g
    healthcheck:
      test: [CMD, curl, -sf, "http://localhost:8080/health"]
      interval: 1s
"""
ASK = """curl -sN localhost:PORT/v1/chat/completions -d '{"messages":[{"role":"user","content":"hello"}],
"max_tokens":50,"ignore_eos":true,"stream":true,"stream_options":{"include_usage":true}}'"""


def whole_answer(text):
    events = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    usage = json.loads(events[-2])["usage"]
    return len(events) > 10 and usage["completion_tokens"] == 50


def test_the_engine_streams_in_a_container_and_bare(colima):
    text = COMPOSE.replace("IMAGE", colima.state.images.engine)
    assert colima("mkdir -p ~/chat && cat > ~/chat/compose.yaml", stdin=text).returncode == 0
    done = colima.brewed("cd ~/chat && docker-compose up -d --wait")
    assert done.returncode == 0, done.stderr
    colima.until("curl -sf localhost:8085/health")
    assert whole_answer(colima(ASK.replace("PORT", "8085")).stdout)
    assert colima.brewed("cd ~/chat && docker-compose down").returncode == 0
    weights = colima.state.weights
    assert colima(f"shasum -a 256 {weights.path}").stdout.split()[0] == weights.sha256
    start = f"nohup llama-server -m {weights.path} --device none -ngl 0 -t 1 --port 8086 >/dev/null 2>&1 & echo $!"
    pid = colima.brewed(start).stdout.strip()
    colima.until("curl -sf localhost:8086/health")
    assert whole_answer(colima(ASK.replace("PORT", "8086")).stdout)
    colima(f"kill {pid}")


def test_processes_of_the_vm_are_not_the_macs(colima):
    assert "dockerd" not in colima("ps -axo command").stdout
    assert colima("pgrep -f dockerd").returncode == 1
    assert "dockerd" in colima.brewed("limactl shell colima ps ax").stdout
