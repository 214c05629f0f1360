"""A pull that a registry refuses: the node is held with the registry's own words, and the canary speaks for all."""

from straight_line import Fleet, outcomes

from macfleet.model.stage import StageName

IMAGES = StageName.IMAGES
REFUSING = 'case $1 in pull) echo "unauthorized: authentication required" >&2; return 1;; esac'


def test_a_canary_that_gets_no_image_stops_the_waves_after_it(tmp_path):
    fleet = Fleet.make(tmp_path, "n1", "n2").upto(IMAGES)
    fleet.use(IMAGES, "strategy: {canary: 1}", "    - docker_image: {image: engine}\n")
    fleet.macs.mac("n1").programs["docker"] = REFUSING
    result = fleet.rollout(IMAGES)
    assert outcomes(result) == {"n1": "held", "n2": "not reached"}
    [found] = result.results[0].diagnostics
    assert (found.code, found.node, found.address) == ("E0654", "n1", "docker_image.engine")
    assert "registry.example wants a login" in found.summary
