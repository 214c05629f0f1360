"""A full load test takes the VM away from the bare arm and gives it back with all that was in it."""

import pytest

from macfleet.model.node import Endpoint, Node
from macfleet.model.ports import Completed
from macfleet.rollout import vm

pytestmark = pytest.mark.lab


class Login:
    """A transport over the tests' own login."""

    def __init__(self, shell):
        self.shell = shell

    def run(self, script, *, deadline, **_):
        done = self.shell(script, timeout=deadline)
        return Completed(done.returncode, done.stdout.encode(), done.stderr.encode())


def test_a_vm_is_stopped_twice_started_and_still_holds_its_containers(colima):
    node, login = Node("mac-01", Endpoint("mac-01")), Login(colima)
    made = colima.brewed(
        "echo hi > ~/f; tar -C ~ -c f | docker import - kept && docker create --name kept kept /f"
    )
    assert made.returncode == 0, made.stderr
    try:
        vm.stop(node, login)
        assert vm.is_up(login) is False
        vm.stop(node, login)
    finally:
        vm.start(node, login)
    assert vm.is_up(login) is True
    assert "kept" in colima.brewed("docker ps -a --format '{{.Names}}'").stdout.split()
    colima.brewed("docker rm kept; docker rmi kept")
