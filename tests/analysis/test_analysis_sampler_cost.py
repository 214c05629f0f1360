import pytest

from macfleet.analysis.frames import series_frame
from macfleet.analysis.sampler_cost import SamplerCost, sampler_cost
from macfleet.views.diagnose import diagnosis_lines


def rows(*readings):
    names = ("t_wall_ns", "sampler_cpu_s", "vm_sampler_cpu_s", "clock_offset_s")
    return series_frame([dict(zip(names, (each[0] * 10**9, *each[1:]), strict=True)) for each in readings])


@pytest.mark.parametrize(
    ("readings", "cost"),
    [
        ([], SamplerCost(None, None, None)),
        ([(1, None, None, None)], SamplerCost(None, None, None)),
        ([(1, 0.1, 0.0, 0.5)], SamplerCost(None, None, 0.5)),  # one reading is no stretch of time
        ([(1, 0.1, 0.0, 0.5), (2, None, 0.01, 0.5), (11, 0.3, 0.05, 0.5)], SamplerCost(0.02, 0.005, 0.5)),
        ([(1, 0.1, 0.0, 0.5), (3, 0.4, 0.1, 0.5)], SamplerCost(None, None, 0.5)),  # too short a stretch
        # Another segment's sampler begins at 0: the minutes between them are nobody's.
        (
            [(0, 0.0, 0.0, 0.1), (10, 0.4, 0.1, 0.1), (900, 0.0, 0.0, -2.0), (910, 0.6, 0.1, -2.0)],
            SamplerCost(0.05, 0.01, -2.0),
        ),
    ],
)
def test_a_samplers_cost_is_its_cpu_time_over_the_time_it_ran(readings, cost):
    found = sampler_cost(rows(*readings))
    for name in ("host", "vm", "clock_offset"):
        wanted = getattr(cost, name)
        assert getattr(found, name) == (wanted if wanted is None else pytest.approx(wanted))


def test_a_series_of_an_older_recorder_says_nothing_of_it():
    older = rows((1, 0.1, 0.0, 0.5)).drop("sampler_cpu_s")
    assert sampler_cost(older) == SamplerCost(None, None, None)


@pytest.mark.parametrize(
    ("cost", "words"),
    [
        (
            SamplerCost(0.024, 0.003, 0.0123),
            "2.4 % of a core on the host and 0.3 % in the VM; the node's clock is +0.01 s from ours",
        ),
        (SamplerCost(0.024, None, None), "2.4 % of a core on the host"),
        (SamplerCost(None, None, None), None),
    ],
)
def test_a_diagnosis_says_what_watching_took(cost, words):
    text = " ".join(" ".join(diagnosis_lines({"mac-01": ()}, {"mac-01": cost}, 0)).split())
    assert text.endswith(f"what watching it took {words}") if words else "watching" not in text
