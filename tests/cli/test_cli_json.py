"""JSON on stdout: one document, also when an error follows a result; or events, the result last."""

import json

import pytest

from macfleet.views.event_kinds import faults


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("facts",), "facts"),
        (("lock", "status"), "locks"),
        (("plan", "playbooks/site.yml"), "rollout"),
        (("rollout", "stage1", "--check"), "rollout"),
        (("rollout", "all", "--check"), "rollout-all"),
    ],
)
def test_a_command_whose_nodes_do_not_answer_prints_one_document(run, fleet, arguments, kind):
    code, out, err = run(*arguments, "--output", "json")
    document = json.loads(out)
    assert (code, document["schema"], document["kind"]) == (5, 1, kind)
    assert "mac-01" in out
    assert "Traceback" not in err


def test_what_went_wrong_stands_beside_what_was_found(run, fleet):
    _, out, err = run("facts", "--output", "json")
    document = json.loads(out)
    assert document["nodes"] == {}
    assert {each["node"] for each in document["diagnostics"]} == {"mac-01", "mac-02"}
    assert err.count("error[") == 2


def test_an_error_before_any_result_is_one_document_too(run, fleet):
    (fleet / "inventory/hosts.yml").write_text("all: [\n")
    code, out, _ = run("facts", "--output=json")
    document = json.loads(out)
    assert (code, document["kind"], bool(document["diagnostics"])) == (2, "diagnostics", True)


@pytest.mark.parametrize("arguments", [("rollout", "stage1"), ("plan", "playbooks/site.yml"), ("drift",)])
def test_as_ndjson_events_come_first_and_the_result_last(run, fleet, arguments):
    code, out, err = run(*arguments, "--output", "ndjson")
    *events, result = map(json.loads, out.splitlines())
    assert (code, result["kind"], result["exit_code"]) == (5, "rollout", 5)
    assert [fault for event in events for fault in faults(event)] == []
    assert [event["outcome"] for event in events if event["kind"] == "node.settled"] == (
        ["unreachable", "unreachable"] if arguments[0] == "rollout" else []
    )
    assert '"schema"' not in err


def test_ndjson_is_for_commands_that_tell_what_happens(run, fleet):
    assert run("facts", "--output", "ndjson")[0] == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "playbooks/site.yml"),
        ("apply", "playbooks/site.yml"),
        ("drift",),
        ("rollout", "stage1"),
        ("ping",),
        ("facts",),
        ("exec", "true"),
        ("status",),
        ("lock", "status"),
        ("inventory", "list"),
    ],
)
@pytest.mark.parametrize(("limit", "expected"), [("mac-01:!mac-01", (8, "E0222")), ("mac-0l", (2, "E0220"))])
def test_nodes_that_are_none_are_told_from_a_word_that_names_nothing(run, fleet, arguments, limit, expected):
    code, out, err = run(*arguments, "-l", limit, "--output", "json")
    (found,) = json.loads(out)["diagnostics"]
    assert (code, found["code"]) == expected
    assert found["exit_code"] == code
    assert limit in found["summary"]
    assert "Traceback" not in err
