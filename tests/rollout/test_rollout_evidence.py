"""When evidence is current, when a predecessor's is stale, and which command mends it."""

from dataclasses import replace

import pytest
from straight_line import CONTRACT as PROMISE
from straight_line import IMAGE, PLATFORM, Fleet, held_reasons, outcomes

from macfleet.model.image import LockedImage
from macfleet.model.stage import Outcome, StageName
from macfleet.rollout.desired import NetworkChoice

DAY = 86400.0
STAGE1, STAGE2, STAGE3, STAGE4, STAGE5 = list(StageName)[1:]


@pytest.fixture
def one(tmp_path):
    """One provisioned node, with what stands for its engine's socket."""
    fleet = Fleet.make(tmp_path, "mac-01")
    socket = fleet.home("mac-01") / ".colima" / "default" / "docker.sock"
    socket.parent.mkdir(parents=True)
    socket.touch()
    return fleet


def nothing(_fleet):
    pass


def other_images(fleet):
    newer = replace(IMAGE, manifest=f"sha256:{'7' * 64}")
    fleet.resolver.images[newer.pinned] = newer
    locked = {"engine": LockedImage("engine", IMAGE.reference, IMAGE.index, {PLATFORM: newer})}
    fleet.desired = replace(fleet.desired, locked=locked)


def other_contract(fleet):
    fleet.desired = replace(fleet.desired, contract=replace(PROMISE, hash="ab" * 32))


def other_mode(fleet):
    fleet.desired = replace(fleet.desired, network={"mac-01": NetworkChoice("host", "ssh", "r")})


def other_macos(fleet):
    mac = fleet.macs.mac("mac-01")
    mac.programs["sysctl"] = mac.programs["sysctl"].replace("15.5", "15.6")


def other_engine(fleet):
    mac = fleet.macs.mac("mac-01")
    mac.programs["docker"] = mac.programs["docker"].replace("29.0.0", "29.1.0")


def other_playbook(stage):
    def edit(fleet):
        more = "    - name: more\n      command: {run: ':', unless: ':'}\n"
        fleet.use(stage, more=more)

    return edit


def older(days):
    def wait(fleet):
        fleet.clock.sleep(days * DAY)

    return wait


@pytest.mark.parametrize(
    ("stage", "event", "still_about_it"),
    [
        (STAGE1, nothing, True),
        (STAGE1, other_contract, False),
        (STAGE1, other_macos, False),
        (STAGE1, other_engine, False),
        (STAGE1, other_images, True),  # stage 1 comes before any image
        (STAGE1, other_mode, True),
        (STAGE1, other_playbook(STAGE1), False),
        (STAGE1, other_playbook(STAGE2), True),
        (STAGE2, other_images, False),
        (STAGE2, other_mode, True),
        (STAGE3, other_mode, False),
        (STAGE4, other_mode, True),  # the proof covers both modes
    ],
)
def test_evidence_is_about_the_parts_its_stage_depends_on(one, stage, event, still_about_it):
    one.upto(list(StageName)[list(StageName).index(stage) + 1])
    event(one)
    wanted = one.rollout(stage, check=True).results[0].key
    assert (one.evidences.latest("mac-01", stage).key.digest == wanted.digest) == still_about_it


@pytest.mark.parametrize(
    ("stage", "event", "expected"),
    [
        (STAGE1, nothing, "current"),
        (STAGE1, older(6.9), "current"),
        (STAGE1, older(7.1), "unchanged"),
        (STAGE1, other_contract, "unchanged"),
        (STAGE1, other_macos, "unchanged"),
    ],
)
def test_stale_evidence_is_gathered_again_without_a_change(one, stage, event, expected):
    one.upto(STAGE2)
    event(one)
    asked = len(one.load.probed)
    assert outcomes(one.rollout(stage)) == {"mac-01": expected}
    assert (len(one.load.probed) > asked) == (expected == "unchanged")


def test_again_gathers_evidence_that_is_current(one):
    one.upto(STAGE2)
    asked = len(one.load.probed)
    assert outcomes(one.rollout(STAGE1, again=True)) == {"mac-01": "unchanged"}
    assert len(one.load.probed) == asked + 1


def test_evidence_that_held_is_never_current(one):
    one.load.problems["mac-01/bare"] = ("404",)
    one.rollout(STAGE1)
    assert outcomes(one.rollout(STAGE1, check=True)) == {"mac-01": "unchanged"}


def test_evidence_is_keyed_by_what_runs_after_the_change(one):
    """Applying may upgrade what the evidence is about."""
    mac = one.macs.mac("mac-01")
    older = mac.programs["sysctl"]
    newer = older.replace("15.5", "15.6")
    mac.programs["sysctl"] = f'if [ -f "$HOME/contract" ]; then {newer}; else {older}; fi'
    one.rollout(STAGE1)
    assert one.evidences.latest("mac-01", STAGE1).key.parts["macos"] == "15.6"
    assert outcomes(one.rollout(STAGE1)) == {"mac-01": "current"}


def test_every_missing_predecessor_is_named_with_its_command(one):
    result = one.rollout(STAGE3)
    assert result.exit_code == 7
    assert held_reasons(result, "mac-01") == [
        (
            "predecessor",
            f"stage {n} ({name}) has no evidence on this node",
            f"macfleet rollout stage{n} -l mac-01",
        )
        for n, name in ((1, "contract"), (2, "images"))
    ]
    assert not (one.home("mac-01") / "layout").exists()
    assert one.evidences.latest("mac-01", STAGE3).outcome is Outcome.HOLD


def reasons(fleet, stage):
    result = fleet.rollout(stage, check=True)
    return {reason: mend for gate, reason, mend in held_reasons(result, "mac-01") if gate == "predecessor"}


@pytest.mark.parametrize(
    ("event", "stage", "expected"),
    [
        (other_images, STAGE3, {"stage 2 (images) is stale: images changed": "stage2"}),
        (
            other_macos,
            STAGE3,
            {
                "stage 1 (contract) is stale: macos changed": "stage1",
                "stage 2 (images) is stale: macos changed": "stage2",
            },
        ),
        (other_engine, STAGE2, {"stage 1 (contract) is stale: docker changed": "stage1"}),
        (other_contract, STAGE2, {"stage 1 (contract) is stale: contract changed": "stage1"}),
        (other_playbook(STAGE1), STAGE2, {"stage 1 (contract) is stale: compiled changed": "stage1"}),
        (older(7.1), STAGE2, {"stage 1 (contract) is older than 7 days": "stage1"}),
        (older(6.9), STAGE2, {}),
        (other_mode, STAGE3, {}),
    ],
)
def test_a_stale_predecessor_says_what_changed_and_what_mends_it(one, event, stage, expected):
    one.upto(stage)
    event(one)
    assert reasons(one, stage) == {
        reason: f"macfleet rollout {command} -l mac-01" for reason, command in expected.items()
    }


def test_when_the_network_lock_changes_stage_3_is_stale_and_stage_4_is_not(one):
    one.upto(STAGE5)
    other_mode(one)
    found = list(reasons(one, STAGE5))
    assert [reason for reason in found if reason.startswith("stage 3")] == [
        "stage 3 (layout) is stale: compiled, network changed"
    ]
    assert len(found) == 1


def test_a_predecessor_that_held_is_not_good_enough(one):
    one.load.problems["mac-01/bare"] = ("404",)
    one.rollout(STAGE1)
    assert reasons(one, STAGE2) == {"stage 1 (contract) ended with hold": "macfleet rollout stage1 -l mac-01"}


def test_a_node_that_differs_from_the_site_is_refused_with_the_command(one):
    (one.home("mac-01") / "provision").unlink()
    result = one.rollout(STAGE1)
    assert result.exit_code == 7
    assert held_reasons(result, "mac-01") == [
        (
            "provisioned",
            "1 resource of site.yml differs: command.provision",
            "macfleet apply playbooks/site.yml -l mac-01",
        )
    ]
    assert not (one.home("mac-01") / "contract").exists()
    assert outcomes(one.rollout(StageName.PROVISION)) == {"mac-01": "changed"}
    assert outcomes(one.rollout(STAGE1)) == {"mac-01": "changed"}


def test_provisioning_asks_for_no_predecessor(one):
    assert outcomes(one.rollout(StageName.PROVISION)) == {"mac-01": "unchanged"}


def test_evidence_of_one_node_says_nothing_about_another(tmp_path):
    fleet = Fleet.make(tmp_path, "mac-01", "mac-02")
    fleet.rollout(STAGE1, "mac-01")
    result = fleet.rollout(STAGE2)
    assert outcomes(result) == {"mac-01": "changed", "mac-02": "held"}


def test_an_image_of_a_foreign_platform_holds_before_anything_is_changed(one):
    one.upto(STAGE2)
    one.resolver.images[IMAGE.pinned] = replace(IMAGE, platform="linux/amd64")
    result = one.rollout(STAGE2)
    assert result.exit_code == 7
    ((gate, reason, mend),) = held_reasons(result, "mac-01")
    assert gate == "images_pinned"
    assert "registry.example/llama-server:b10434 is linux/amd64, not linux/arm64" in reason
    assert "macfleet image pin" in mend
    assert not (one.home("mac-01") / "images").exists()


def test_a_registry_that_does_not_know_the_image_holds_in_its_words(one):
    one.upto(STAGE2)
    one.resolver.images.clear()
    result = one.rollout(STAGE2)
    assert result.exit_code == 7
    assert "manifest unknown" in held_reasons(result, "mac-01")[0][1]
