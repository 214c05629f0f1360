"""Which arms of a node are measured, and on what each computes."""

import pytest

from macfleet.model.node import Arm, Endpoint, Node

BARE, CPU, CONTAINER, HOST = Arm.BARE, Arm.BARE_CPU, Arm.CONTAINER, Arm.HOST_ENGINE


@pytest.mark.parametrize(
    ("declared", "accelerator", "measured"),
    [
        ((BARE, CONTAINER), "metal", (BARE, CPU, CONTAINER)),
        ((BARE, CONTAINER), None, (BARE, CPU, CONTAINER)),
        ((CONTAINER, BARE), "vulkan", (CONTAINER, BARE, CPU)),
        ((BARE, CONTAINER, HOST), "metal", (BARE, CPU, CONTAINER, HOST)),
        ((BARE, CONTAINER), "cpu", (BARE, CONTAINER)),
        ((BARE, CPU, CONTAINER), "metal", (BARE, CPU, CONTAINER)),
        ((BARE,), "metal", (BARE,)),
        ((CONTAINER,), "metal", (CONTAINER,)),
        ((BARE, HOST), "metal", (BARE, HOST)),
    ],
)
def test_bare_without_its_gpu_is_measured_where_the_container_lacks_it(declared, accelerator, measured):
    variables = {} if accelerator is None else {"accelerator": accelerator}
    assert Node("mac-01", Endpoint("mac-01"), arms=declared, variables=variables).measured_arms == measured


@pytest.mark.parametrize(
    ("arm", "expected"), [(BARE, "vulkan"), (CPU, "cpu"), (CONTAINER, "cpu"), (HOST, "vulkan")]
)
def test_only_what_runs_on_the_host_has_its_accelerator(arm, expected):
    assert (
        Node("mac-01", Endpoint("mac-01"), variables={"accelerator": "vulkan"}).accelerator(arm) == expected
    )
