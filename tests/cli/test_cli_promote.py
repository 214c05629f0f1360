"""`macfleet promote` on a fleet folder whose nodes listen nowhere: it asks none."""

from __future__ import annotations

import json

import pytest

from macfleet.contract.releases import load_releases
from macfleet.sources.disk import DiskFiles
from macfleet.store import SqlState

OWN = "images.production.lock"
INVENTORY = """\
all:
  vars: {ansible_user: ops, chip: m4, memory: 24GiB, ownership: owned}
  children:
    serving:
      children:
        stage: {vars: {environment: staging}, hosts: {mac-01: {ansible_host: 127.0.0.1, ansible_port: 9}}}
        live: {vars: {environment: production}, hosts: {mac-02: {ansible_host: 127.0.0.1, ansible_port: 10}}}
"""


@pytest.fixture
def two(fleet):
    """The fleet with one node in staging and one in production."""
    (fleet / "inventory/hosts.yml").write_text(INVENTORY)
    return fleet


def repin(folder, old, new):
    """Pin other bytes by hand: each digest of the engine is another one, and the old lock is kept."""
    text = (folder / "images.lock").read_text()
    (folder / "images.lock").write_text(text.replace(f"sha256:{old * 64}", f"sha256:{new * 64}"))


def for_node(folder, name, text):
    (folder / f"inventory/host_vars/{name}.yml").write_text(text)


def releases(folder, path=OWN):
    return load_releases(DiskFiles(folder), path)


def document(out):
    return json.loads(out.splitlines()[-1])


def test_the_first_promotion_gives_the_environment_a_lock_of_its_own(run, two):
    code, out, err = run("promote", "staging", "production", "--yes", "--reason", "the first")
    assert (code, err.count("no node changes yet")) == (0, 1)
    assert "rollout all -l production" in out
    lock = releases(two)
    assert lock.newest.images == releases(two, "images.lock").newest.images
    assert (lock.newest.brought.source, lock.newest.brought.why) == ("staging", "the first")


def test_what_is_pinned_afterwards_is_the_other_environments_until_it_is_promoted(run, two):
    run("promote", "staging", "production", "--yes")
    before = releases(two).newest.id
    repin(two, "2", "7")
    code, out, _ = run("promote", "staging", "production", "--check", "--output", "json")
    found = document(out)
    assert (code, found["promoted"], found["release"]["before"]) == (3, False, before)
    assert releases(two).newest.id == before
    assert run("promote", "staging", "production", "--yes")[0] == 0
    lock = releases(two)
    assert [lock.newest.id, lock.earlier[0].id] == [found["release"]["after"], before]


def test_there_is_nothing_to_promote_twice(run, two):
    run("promote", "staging", "production", "--yes")
    text = (two / OWN).read_bytes()
    code, out, _ = run("promote", "staging", "production", "--yes")
    assert (code, "nothing to promote" in out) == (0, True)
    assert run("promote", "staging", "production", "--check")[0] == 0
    assert (two / OWN).read_bytes() == text


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        ("engine_threads: 8\n", ("engine.engine.-t", "engine.bare.-t")),
        (
            "roots: {weights: /Volumes/nas/models, cache: /Users/ops/hf, logs: /Users/ops/logs}\n",
            ("mounts.engine./models", "mounts.vm.weights", "bind /Volumes/nas/models read-only"),
        ),
        ("container_open_files: 1024\n", ("compose.engine.ulimits.nofile",)),
        (
            'container_environment: {HF_HOME: /cache, HF_TOKEN: "hf_abc"}\n',
            ("engine.engine.env.HF_TOKEN", "engine.engine.env.HF_HUB_OFFLINE"),
        ),
        (
            'container_arguments: [--api-key, "hf_abc"]\n',
            ("engine.engine.--api-key", "absent", "not shown ("),
        ),
        ("container_arguments: [--max-tokens, 512]\n", ("engine.engine.--max-tokens", "512")),
        ("engine_port: 9090\n", ("compose.engine.ports", "compose.engine.healthcheck.test")),
    ],
)
def test_an_undeclared_difference_is_refused_by_its_name(run, two, variables, names):
    for_node(two, "mac-02", variables)
    code, out, err = run("promote", "staging", "production", "--yes")
    assert (code, "E0683" in err) == (2, True)
    for name in names:
        assert name in out + err
    assert "mac-02" in err
    assert "hf_abc" not in out + err
    assert not (two / OWN).exists()


def test_a_difference_that_is_declared_with_its_reason_lets_it_through(run, two):
    for_node(two, "mac-02", "engine_threads: 8\n")
    (two / "promotion.yml").write_text(
        'differences:\n- {to: production, what: "engine.*.-t", value: "8", why: an M4 Pro has ten cores}\n'
    )
    code, out, _ = run("promote", "staging", "production", "--yes")
    assert (code, "declared: an M4 Pro has ten cores" in out) == (0, True)
    assert (two / OWN).exists()


@pytest.mark.parametrize(
    "declared",
    [
        '{to: production, what: "*", why: all is fine}',
        '{to: production, what: "mounts.*", value: "*/fast/models*", why: another disk}',
        '{to: testing, what: "mounts.*", value: "*/nas/models*", why: for another environment}',
        '{to: production, from: testing, what: "mounts.*", value: "*/nas/models*", why: from another}',
    ],
)
def test_a_mount_is_let_through_only_by_its_own_value(run, two, declared):
    for_node(
        two, "mac-02", "roots: {weights: /Volumes/nas/models, cache: /Users/ops/hf, logs: /Users/ops/logs}\n"
    )
    (two / "promotion.yml").write_text(f"differences:\n- {declared}\n")
    code, _, err = run("promote", "staging", "production", "--yes")
    assert (code, "mounts.engine./models" in err) == (2, True)


@pytest.mark.parametrize(
    "text",
    [
        "differences:\n- {to: production, what: engine.*}\n",
        "differences:\n- {to: production, what: mounts.vm.weights, why: any path}\n",
        "differences:\n- {to: production, what: engine.*, why: x, vaule: 8}\n",
        "- a\n",
    ],
)
def test_a_promotion_file_that_says_too_little_is_refused_with_its_line(run, two, text):
    (two / "promotion.yml").write_text(text)
    for arguments in (("promote", "staging", "production", "--yes"), ("lint",)):
        code, out, err = run(*arguments)
        assert (code, "E0691" in out + err, "promotion.yml" in out + err) == (2, True, True)


def test_the_example_that_docs_prints_is_one_that_is_read(run, two):
    (two / "promotion.yml").write_text(run("docs", "promotion")[1])
    code, out, _ = run("promote", "staging", "production", "--yes")
    assert (code, out.count("no such difference")) == (0, 2)


def test_a_declared_difference_that_is_none_any_more_is_told(run, two):
    (two / "promotion.yml").write_text(
        'differences:\n- {to: production, what: engine.*, value: "8", why: old}\n'
    )
    code, out, _ = run("promote", "staging", "production", "--yes")
    assert (code, "promotion.yml:2" in out, "no such difference" in out) == (0, True, True)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("staging", "prodution"), "E0680", 'did you mean "production"?'),
        (("one", "other"), "E0680", "There are: production, staging."),
        (("staging", "staging"), "E0681", "to itself"),
    ],
)
def test_environments_that_cannot_be_meant_are_refused(run, two, arguments, code, told):
    status, _, err = run("promote", *arguments, "--yes")
    assert (status, code in err, told in " ".join(err.split())) == (2, True, True)


def test_a_fleet_without_environments_has_nothing_to_promote_between(run, fleet):
    code, _, err = run("promote", "staging", "production", "--yes")
    assert (code, "E0680" in err, "No node has one" in err) == (2, True, True)


def test_without_a_lock_there_is_nothing_to_promote(run, two):
    (two / "images.lock").unlink()
    code, _, err = run("promote", "staging", "production", "--yes")
    assert (code, "macfleet image pin" in err) == (2, True)


def test_a_release_that_lacks_a_platform_of_the_target_is_refused(run, two):
    for_node(two, "mac-02", "platform: linux/riscv64\n")
    code, _, err = run("promote", "staging", "production", "--yes")
    assert (code, "linux/riscv64" in err) == (2, True)


def test_an_environment_whose_nodes_are_to_run_two_releases_has_none_to_hand_on(run, two):
    (two / "inventory/hosts.yml").write_text(
        INVENTORY.replace(
            "staging}, hosts: {", "staging}, hosts: {mac-03: {ansible_host: 127.0.0.1, ansible_port: 11}, "
        )
    )
    run("promote", "staging", "production", "--yes")
    repin(two, "2", "7")
    run("promote", "staging", "production", "--yes")
    assert run("rollback", "production", "--yes")[0] == 5
    code, out, _ = run("promote", "staging", "production", "--check", "--output", "json")
    assert (code, document(out)["release"]["before"]) == (3, releases(two).earlier[0].id)
    run("promote", "production", "staging", "--yes")
    run("promote", "production", "staging", "--yes")
    assert run("rollback", "mac-03", "--yes")[0] == 5
    code, _, err = run("promote", "staging", "production", "--yes")
    assert (code, "E0685" in err, "mac-03" in err) == (2, True, True)


def test_who_went_back_alone_goes_along_with_the_next_promotion(run, two):
    run("promote", "staging", "production", "--yes")
    repin(two, "2", "7")
    run("promote", "staging", "production", "--yes")
    (two / "inventory/hosts.yml").write_text(
        INVENTORY.replace(
            "production}, hosts: {",
            "production}, hosts: {mac-03: {ansible_host: 127.0.0.1, ansible_port: 11}, ",
        )
    )
    run("rollback", "mac-02", "--yes")
    assert set(releases(two).returned) == {"mac-02"}
    code, out, _ = run("promote", "staging", "production", "--yes", "--output", "json")
    assert (code, document(out)["back"]) == (0, ["mac-02"])
    assert not releases(two).returned


def test_a_damaged_lock_of_an_environment_stops_every_command_that_needs_it(run, two):
    (two / OWN).write_text("schema: 1\nimages: {engine: {}}\n")
    for arguments in (
        ("promote", "staging", "production", "--yes"),
        ("rollout", "stage1", "--check"),
        ("lint",),
    ):
        code, out, err = run(*arguments)
        assert (code, "E0623" in out + err, OWN in out + err) == (2, True, True)


def test_without_a_terminal_and_without_yes_nothing_is_promoted(run, two):
    code, _, err = run("promote", "staging", "production")
    assert (code, "E0111" in err) == (2, True)
    assert not (two / OWN).exists()


def test_while_a_run_works_on_the_targets_nodes_nothing_is_promoted(run, two):
    state = SqlState(f"sqlite:///{two}/.macfleet/state.db")
    from macfleet.store.run_locks import StoreLocks, this_process

    other = StoreLocks(state.locks, this_process("eve@other"))
    other.take(("mac-02",), "20261123T041205Z-stage3-1a2b", "rollout layout")
    try:
        code, _, err = run("promote", "staging", "production", "--yes")
    finally:
        other.close()
        state.close()
    assert (code, "E0590" in err, "eve@other" in err) == (6, True, True)
    assert not (two / OWN).exists()


def test_what_changed_between_the_look_and_the_yes_is_not_promoted(run, two, between):
    run("promote", "staging", "production", "--yes")
    old = (two / OWN).read_bytes()
    repin(two, "2", "7")
    with between(two, OWN, "mac-02", lambda: repin(two, "7", "8")):
        code, _, err = run("promote", "staging", "production", "--yes")
    assert (code, "E0686" in err, "images.lock" in err) == (7, True, True)
    assert (two / OWN).read_bytes() == old


def test_it_says_where_nothing_shows_yet_that_the_release_serves(run, two):
    code, out, _ = run("promote", "staging", "production", "--check", "--output", "json")
    assert (code, document(out)["unproven"]) == (3, ["mac-01"])


def test_each_promotion_is_in_the_journal_with_who_and_why(run, two):
    run("promote", "staging", "production", "--yes", "--reason", "held for a week")
    state = SqlState(f"sqlite:///{two}/.macfleet/state.db")
    (noted,) = state.entries("release")
    state.close()
    assert (noted.kind, noted.detail["why"], noted.detail["nodes"]) == (
        "release.promoted",
        "held for a week",
        ["mac-02"],
    )
    assert noted.detail["who"]
