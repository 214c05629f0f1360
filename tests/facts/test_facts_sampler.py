import subprocess

import pytest

from macfleet.analysis.sampler import label_series, parse_series, used_percent
from macfleet.facts.sampler import sampler_script
from macfleet.model.load import SegmentReport

VM_STAT = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               64712.
Pages wired down:                        353323.
Pages purgeable:                          22116.
"Translation faults":               13199997030.
Anonymous pages:                        1524663.
Pages stored in compressor:             2068175.
Pages occupied by compressor:            678569.
Swapouts:                               4209984.
Pages tagged:                                 5.
"""
MEMORY = 48 * 2**30

SHIMS = {
    "vm_stat": f"cat <<'X'\n{VM_STAT}X\n",
    "sysctl": f"case $2 in hw.memsize) echo {MEMORY};; *level) echo 1;; *) echo 'total = 0.00M';; esac\n",
    "limactl": '[ "$LIMA_HOME" = "$HOME/.colima/_lima" ] || exit 9\nwhile [ "$1" != colima ]; do shift; done\nshift\nexec "$@"\n',
    # Time runs twenty times as fast, so that three ticks are three of its seconds.
    "sleep": "exec /bin/sleep 0.05\n",
    "date": "echo $(($(/bin/date +%s%N) / 50000000))\n",
}


@pytest.fixture
def mac(tmp_path):
    for name, body in SHIMS.items():
        shim = tmp_path / name
        shim.write_text(f"#!/bin/sh\n{body}")
        shim.chmod(0o755)
    return tmp_path


def sample(mac, shell="dash", ticks=4):
    environment = {"PATH": f"{mac}:/usr/bin:/bin", "HOME": str(mac)}
    command = ["/bin/sh" if shell == "sh" else shell, "-s"]
    return subprocess.run(
        command,
        input=sampler_script(ticks),
        capture_output=True,
        text=True,
        timeout=30,
        env=environment,
        check=True,
    ).stdout


def test_host_and_vm_are_sampled_side_by_side(mac):
    rows = parse_series(sample(mac))
    used = [row["host_used_pct"] for row in rows if row["host_used_pct"] is not None]
    assert len(used) == 4
    # A page figure of a real 48 GiB machine; Activity Monitor showed 80.6 %.
    assert used[0] == pytest.approx(80.6, abs=0.1)
    assert {row["host_pressure_level"] for row in rows} <= {1, None}
    assert {row["swapouts"] for row in rows} <= {4209984, None}
    shares = [row["vm_iowait_pct"] for row in rows if row["vm_iowait_pct"] is not None]
    assert all(0 <= share <= 100 for share in shares)
    assert any(row["vm_mem_used"] for row in rows)


def test_every_line_fits_one_write_of_a_macos_pipe(mac):
    assert max(len(line) for line in sample(mac).splitlines()) < 512


def test_without_a_vm_only_the_host_is_sampled(mac):
    (mac / "limactl").write_text("#!/bin/sh\nexit 1\n")
    rows = parse_series(sample(mac))
    assert rows
    assert {row["vm_mem_used"] for row in rows} == {None}
    assert all(row["host_used_pct"] for row in rows)


def test_a_counter_that_cannot_be_read_is_missing_and_never_zero(mac):
    (mac / "vm_stat").write_text("#!/bin/sh\nexit 1\n")
    rows = parse_series(sample(mac))
    assert rows
    assert {row["host_used_pct"] for row in rows} == {row["swapouts"] for row in rows} == {None}


def test_the_sampler_ends_when_nobody_reads_it(mac):
    environment = {"PATH": f"{mac}:/usr/bin:/bin", "HOME": str(mac)}
    with subprocess.Popen(
        ["dash", "-c", sampler_script(100_000)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    ) as process:
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=20) is not None


def v_line(second, iowait, total=1000, steal=0, psi="some avg10=7.50 avg60=0.28"):
    busy = total - iowait - steal
    return f"V {second} stat= {busy} 0 0 0 {iowait} 0 0 {steal} 0 0;psi={psi};total=100;available=40"


def test_vm_shares_are_differences_to_the_line_before():
    rows = parse_series("\n".join([v_line(10, 100), v_line(11, 150, 1200, steal=20), v_line(13, 150, 1300)]))
    assert [row["vm_iowait_pct"] for row in rows] == [None, 25.0, 0.0]
    assert rows[1]["vm_steal_pct"] == 10.0
    assert rows[0]["vm_psi_io_some_avg10"] == 7.5
    assert rows[0]["vm_mem_used"] == 60 * 1024
    assert [row["t_wall_ns"] for row in rows] == [10 * 10**9, 11 * 10**9, 13 * 10**9]


@pytest.mark.parametrize(
    "line",
    ["", "H", "H x y", "V 1", "hello", "V 1 stat=1 2 3;psi=;total=;available=x", "H -5 a", "H 1 level=;;=;:"],
)
def test_broken_lines_give_no_figures_and_no_crash(line):
    for row in parse_series(line):
        assert {value for key, value in row.items() if key != "t_wall_ns"} == {None}


@pytest.mark.parametrize(
    "missing", ["Anonymous pages", "Pages purgeable", "Pages wired down", "Pages occupied by compressor"]
)
def test_memory_without_one_of_its_counters_is_unknown(missing):
    counters = {
        "Anonymous pages": 10,
        "Pages purgeable": 1,
        "Pages wired down": 2,
        "Pages occupied by compressor": 3,
    }
    assert used_percent(1400, counters, 50) == pytest.approx(50.0)
    del counters[missing]
    assert used_percent(1400, counters, 50) is None


def test_rows_are_labelled_with_the_window_they_began_in():
    def window(arm, segment, start, seconds):
        return SegmentReport(
            "short×1", segment, arm, 0, seconds * 10**9, start * 10**9, 1, 1, 0, 0, 0, "0.1.0", "sha256:0"
        )

    rows = [{"t_wall_ns": second * 10**9} for second in range(5)]
    labelled = label_series(rows, [window("bare", 0, 1, 2), window("container", 1, 3, 1)])
    assert [(row["arm"], row["segment"]) for row in labelled] == [
        (None, None),
        ("bare", 0),
        ("bare", 0),
        ("container", 1),
        (None, None),
    ]
