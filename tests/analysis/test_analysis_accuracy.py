import pytest

from macfleet.analysis.accuracy import Answered, accuracy

MS = 1_000_000


def answered(added=0, tokens=None, *, send=0, first=200, gap=20, count=10):
    sent = [(first + number * gap) * MS for number in range(count)]
    return Answered(send, [each + added for each in sent], 1, sent, count if tokens is None else tokens)


def test_a_client_that_reads_at_once_adds_nothing():
    found = accuracy([answered()] * 3, cpu_seconds=30e-6 * 30)
    assert (found.added_p50, found.added_p99, found.ttft_bias, found.itl_bias) == (0, 0, 0, 0)
    assert (found.answers, found.events, found.miscounted) == (3, 30, 0)
    assert found.cpu == pytest.approx(30e-6)
    assert found.misses() == ()


@pytest.mark.parametrize(
    ("answers", "cpu", "word"),
    [
        ([answered(added=MS)], None, "median added latency 1.00 ms"),
        ([*[answered()] * 9, answered(added=50 * MS)], None, "p99 added latency 50.00 ms"),
        ([answered(added=4 * MS)], None, "TTFT off by +2.00 %"),
        ([answered(tokens=9)], None, "1 answers miscounted"),
        ([answered()], 1.0, "µs CPU an event"),
    ],
)
def test_each_broken_promise_is_named(answers, cpu, word):
    assert any(word in each for each in accuracy(answers, cpu).misses())


def test_answers_of_one_event_have_no_gaps_and_give_nothing():
    assert accuracy([answered(count=1)]) is None
    assert accuracy([]) is None
