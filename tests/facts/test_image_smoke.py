"""One start without a network: what is found of it, and that nothing of it stays."""

import os
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.facts.image_smoke import SmokeStart, parse_smoke, smoke_faults, smoke_script
from macfleet.model.resource import ProbeOutput

# Answers as `docker` and its Compose plugin do, from variables, and notes what it was asked.
DOCKER = """#!/bin/sh
printf '%s\\n' "$*" >>"$CALLS"
case "$*" in
  *" ps --status running --quiet") printf '%s' "$SERVING" ;;
  *" run -d "*)
    for each; do case $each in */closed.yaml) cat "$each" >>"$CALLS" ;; esac; done
    [ -z "$REFUSED" ] || { echo "$REFUSED" >&2; exit 1; } ;;
  "network inspect "*) echo "${CLOSED:-true}" ;;
  "inspect --format {{range"*) echo "trial_default " ;;
  "inspect --format {{.Config"*) echo "registry.example/engine@sha256:ab" ;;
  "inspect --format {{.State"*) echo "${STATE:-running 0 healthy}" ;;
  "logs "*) printf "$LOG" ;;
esac
"""
NAME = "macfleet-smoke-1a2b"
HOSTILE = "compose $(touch pwned)'.yaml"


@pytest.fixture
def node(tmp_path):
    """A node whose docker is a program of ours; returns what was found and what docker was asked."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/docker").write_text(DOCKER)
    (tmp_path / "bin/docker").chmod(0o755)
    (tmp_path / "bin/sleep").symlink_to("/bin/true")
    (tmp_path / "tmp").mkdir()
    file = tmp_path / HOSTILE
    file.write_text("services: {}\n")

    def smoke(shell="dash", path=file, **answers):
        calls = tmp_path / "calls"
        calls.write_text("")
        done = subprocess.run(
            [shutil.which(shell), "-c", smoke_script(str(path), "engine", "chat", NAME, 1)],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={
                "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
                "TMPDIR": str(tmp_path / "tmp"),
                "CALLS": str(calls),
                **answers,
            },
        )
        assert not list(tmp_path.rglob("pwned"))
        assert not list((tmp_path / "tmp").iterdir())
        return parse_smoke(ProbeOutput(done.returncode, done.stdout, done.stderr)), calls.read_text()

    return smoke


@pytest.mark.parametrize("shell", ["dash", "bash", "zsh"])
def test_a_service_that_needs_no_network_passes_and_nothing_of_the_trial_stays(node, shell):
    found, calls = node(shell, LOG="model loaded\\nserver is listening\\n")
    assert (found.state, found.health, found.fetches) == ("running", "healthy", ())
    assert smoke_faults(found) == ()
    assert (found.image, found.seconds in (0, 1)) == ("registry.example/engine@sha256:ab", True)
    assert "networks: {default: {internal: true}}" in calls
    assert calls.splitlines()[-2] == f"rm -f {NAME}"
    assert calls.splitlines()[-1].endswith("down --remove-orphans")
    assert all(
        f"compose -p {NAME} " in line for line in calls.splitlines() if " run " in line or " down" in line
    )


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("curl: (6) Could not resolve host: models.example", "from models.example: curl: (6)"),
        ("HTTPSConnectionPool(host='hub.example', port=443): Max retries exceeded", "from hub.example: "),
        ("dial tcp: lookup hub.example on 127.0.0.11:53: no such host", "from hub.example: "),
        ("failed to download https://hub.example/a.gguf", "from hub.example: "),
        (
            "socket.gaierror: [Errno -3] Temporary failure in name resolution",
            "it fetches at run time: socket",
        ),
        ("connect: Network is unreachable", "it fetches at run time: connect"),
    ],
)
def test_what_it_would_fetch_is_named_also_when_it_goes_on_without(node, log, words):
    found, _ = node(LOG=f"starting\\n{log}\\nserver is listening\\n".replace("%", "%%"))
    (fault,) = smoke_faults(found)
    assert words in fault


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"STATE": "exited 1 -", "LOG": "no model\\n"}, "without a network it ends with status 1: no model"),
        ({"STATE": "running 0 starting"}, "without a network it is starting"),
        ({"STATE": "running 0 unhealthy"}, "without a network it is unhealthy"),
        ({"SERVING": "abc"}, "the project is serving"),
        ({"REFUSED": "no such service"}, "Compose did not start it: no such service"),
        ({"CLOSED": "false"}, "its networks have a way out"),
    ],
)
def test_every_other_end_is_told_apart(node, answers, words):
    found, calls = node(**answers)
    (fault,) = smoke_faults(found)
    assert words in fault
    assert f"rm -f {NAME}" in calls


def test_a_serving_project_is_not_touched(node):
    _, calls = node(SERVING="abc")
    assert " run " not in calls


def test_a_service_without_a_health_check_has_to_run_all_the_time(node):
    found, _ = node(STATE="running 0 -")
    assert smoke_faults(found) == ()
    assert (found.seconds, found.image) == (None, "")  # nobody knows when it was ready


@pytest.mark.parametrize("state", ["running 0 unhealthy", "running 0 starting", "exited 1 -"])
def test_a_start_that_did_not_end_well_took_no_time(node, state):
    assert node(STATE=state)[0].seconds is None


@pytest.mark.parametrize("line", ["cold", "cold 3", "cold x image", "cold 3 a b", "cold 3 a\ncold 4 b"])
def test_a_time_that_is_not_understood_is_none(line):
    found = parse_smoke(ProbeOutput(0, f"state running 0 healthy\n{line}\n"))
    assert (found.seconds, found.image) == (None, "")


def test_a_node_without_the_compose_file_is_told(node, tmp_path):
    assert smoke_faults(node(path=tmp_path / "none.yaml")[0]) == ("there is no Compose file yet",)


@pytest.mark.parametrize("printed", ["", "state running\n", "state a b c\n", "state a 0 -\nstate a 0 -\n"])
def test_an_answer_that_is_not_understood_is_an_error(printed):
    with pytest.raises(ValueError, match="the trial did not end"):
        parse_smoke(ProbeOutput(0, printed))
    with pytest.raises(ValueError, match="no engine"):
        parse_smoke(ProbeOutput(1, printed, "no engine"))


@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_a_log_says_is_one_safe_line(line, last):
    found = SmokeStart("exited", 1, "-", (line,), (last,))
    assert all("\n" not in fault and "\x1b" not in fault for fault in smoke_faults(found))
