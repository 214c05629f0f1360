import json
import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from macfleet.model.load import FixtureBody, LoadSpec
from macfleet.testing.golden_engine import (
    DONE,
    END,
    HEAD,
    GoldenEngine,
    chunk,
    delta,
    event,
    raw,
    scheduled,
    usage,
)

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
BODY = {"stream": True, "messages": [{"role": "user", "content": "a"}]}


def program(*arguments: str, **kinds) -> subprocess.Popen:
    command = [sys.executable, "-m", "macfleet.loadgen", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=ENVIRONMENT, **kinds)


def work(work: str, job, *arguments: str):
    with program(work, *arguments) as running:
        out, err = running.communicate(json.dumps(job).encode(), timeout=60)
    return running.returncode, [json.loads(line) for line in out.splitlines() if line], err.decode()


def job(url: str, **changes):
    document = LoadSpec(
        base_url=url,
        route="/v1/chat/completions",
        fixtures=(FixtureBody("f", BODY),),
        cell="short×2",
        segment=0,
        arm="container",
        concurrency=2,
        duration=30,
        max_requests=4,
    ).document()
    return {**document, **changes}


def test_measure_writes_a_line_for_each_request_and_the_report_last():
    with GoldenEngine(scheduled(tokens=3)) as engine:
        code, lines, err = work("measure", job(engine.url), "--archive", "abc", "--events")
    assert (code, err) == (0, "")
    assert [next(iter(line)) for line in lines] == ["sample", "events"] * 4 + ["report"]
    assert sorted(line["sample"]["index"] for line in lines if "sample" in line) == [0, 1, 2, 3]
    assert {len(line["events"]["t"]) for line in lines if "events" in line} == {3}
    assert lines[-1]["report"]["archive"] == "abc"
    assert lines[-1]["report"]["token_events"] == 12


def test_samples_leave_the_client_while_it_runs():
    quick_then_hang = iter([True, False])

    async def answer(request, writer):
        script = raw(HEAD + chunk(event(delta(content="x", finish="stop")) + DONE) + END)
        await (script if next(quick_then_hang) else raw("hang"))(request, writer)

    with GoldenEngine(answer) as engine, program("measure") as running:
        running.stdin.write(json.dumps(job(engine.url, concurrency=1)).encode())
        running.stdin.close()
        ready, _, _ = select.select([running.stdout], [], [], 20)
        assert ready
        assert json.loads(running.stdout.readline())["sample"]["outcome"] == "ok"
        running.kill()


def test_the_client_stops_when_nobody_reads_its_records():
    with GoldenEngine(raw("hang")) as engine, program("measure") as running:
        running.stdin.write(json.dumps(job(engine.url, duration=3600)).encode())
        running.stdin.close()
        running.stdout.close()
        assert running.wait(timeout=30) == 74
        assert running.stderr.read() == b""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "field 'base_url' is missing"),
        (json.dumps(job("http://h", colour=1)).encode(), "unknown field 'colour'"),
        (json.dumps(job("http://h", concurrency="4")).encode(), "'concurrency' has the wrong type str"),
        (json.dumps(job("http://h", concurrency=True)).encode(), "'concurrency' has the wrong type bool"),
        (json.dumps(job("http://h", fixtures=[{"id": 1}])).encode(), "fixture 0 is not an id with a body"),
        (json.dumps(job("http://h", route="v1")).encode(), "does not start with a slash"),
        (json.dumps(job("h:80")).encode(), "is not an http:// or https:// address"),
    ],
)
def test_a_wrong_job_is_refused_in_words(text, words):
    with program("measure") as running:
        out, err = running.communicate(text, timeout=60)
    assert (running.returncode, out) == (2, b"")
    assert words in err.decode()
    assert err.startswith(b"E0901: ")
    assert b"Traceback" not in err


def test_ping_times_each_request_and_counts_the_failures():
    page = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    with GoldenEngine(page) as engine:
        asked = {"url": engine.url, "requests": 10, "keep_alive": True, "concurrency": 2}
        code, (document,), _ = work("ping", asked)
        assert len({request.connection for request in engine.requests}) == 2
    assert (code, len(document["ms"]), document["errors"]) == (0, 10, 0)
    assert min(document["ms"]) > 0
    assert isinstance(document["time_wait"], int)
    with GoldenEngine(raw(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")) as engine:
        asked = {"url": f"{engine.url}/health", "requests": 3, "keep_alive": False, "concurrency": 1}
        assert work("ping", asked)[1][0]["errors"] == 3
        assert {request.line for request in engine.requests} == {"GET /health HTTP/1.1"}


def endpoint(
    stream_events, bad=b'{"error": {"message": "messages is required"}}', bad_status="400 Bad Request"
):
    """An engine with the routes of a contract; its stream is given."""

    def document(status, body):
        return (
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )

    async def answer(request, writer):
        asked = json.loads(request.body) if request.body else {}
        if request.line.startswith("GET /v1/models"):
            reply = [document("200 OK", b'{"object": "list", "data": [{"id": "m"}]}')]
        elif "messages" not in asked and "prompt" not in asked:
            reply = [document(bad_status, bad)]
        elif asked.get("stream"):
            reply = [HEAD, *(chunk(one) for one in stream_events), END]
        else:
            whole = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": {}}
            reply = [document("200 OK", json.dumps(whole).encode())]
        await raw(*reply)(request, writer)

    return answer


TEXT, STOP = event(delta(content="x")), event(delta(finish="stop"))
KEPT = [event(delta(role="assistant", content="")), TEXT, STOP, event(usage(1)), DONE]
CHAT = {"path": "/v1/chat/completions", "stream": True, "usage": True}


def probed(answer, *routes):
    with GoldenEngine(answer) as engine:
        asked = {"arm": "bare", "base_url": engine.url, "routes": routes, "model": "m", "timeout": 5}
        code, (document,), err = work("probe", asked)
    assert (code, err) == (0, "")
    return document


def test_an_endpoint_that_keeps_every_promise_has_no_problems():
    document = probed(endpoint(KEPT), CHAT, {"path": "/v1/models"}, {"path": "/v1/chat/completions"})
    assert [route["problems"] for route in document["routes"]] == [[], [], []]
    assert [route["status"] for route in document["routes"]] == [200, 200, 200]
    assert document["keeps_promise"] is True


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (endpoint([TEXT, STOP, DONE]), "no usage came although"),
        (endpoint([TEXT, STOP, event(usage(1))]), "did not end with [DONE]"),
        (endpoint([TEXT, event(usage(1)), DONE]), "no choice gave a finish reason"),
        (endpoint([STOP, event(usage(1)), DONE]), "no text was generated"),
        (endpoint([STOP, TEXT, event(usage(1)), DONE]), "text came after the finish reason"),
        (endpoint([event({"error": {"message": "no slot"}})]), "an error inside a 200: no slot"),
        (endpoint([event({"token": "x"}), *KEPT]), "an event has no list of choices"),
        (endpoint([b"data: {\n\n", *KEPT]), "could not be read"),
        (endpoint(KEPT, bad=b"<h1>Bad Request</h1>"), "not refused with a JSON body"),
        (endpoint(KEPT, bad_status="200 OK"), "answered with status 200"),
        (raw(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"), "status 404 instead of 200: no"),
        (raw("close"), "ended early"),
        (
            raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"),
            "content type application/json",
        ),
    ],
)
def test_a_broken_promise_is_named(answer, problem):
    document = probed(answer, CHAT)
    assert document["keeps_promise"] is False
    assert problem in " · ".join(document["routes"][0]["problems"])


def test_an_endpoint_that_is_not_there_is_a_problem_not_a_crash():
    with GoldenEngine(raw("close")) as engine:
        url = engine.url
    asked = {"arm": "bare", "base_url": url, "routes": [CHAT], "model": "m", "timeout": 2}
    _, (document,), _ = work("probe", asked)
    assert "no connection" in document["routes"][0]["problems"][0]
