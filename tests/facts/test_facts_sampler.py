import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.analysis.frames import SERIES_COLUMNS
from macfleet.analysis.sampler import clock_offset, label_series, parse_series, used_percent
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
SYSCTL = """kern.memorystatus_vm_pressure_level: 1
vm.swapusage: total = 2048.00M  used = 1024.50M  free = 1023.50M  (encrypted)
kern.num_files: 4711
net.inet.tcp.pcbcount: 60
net.inet.tcp.tw_pcbcount: 12
kern.sleeptime: { sec = 1700000000, usec = 5 } Tue Nov 14 22:13:20 2023
kern.waketime: { sec = 1700000600, usec = 7 } Tue Nov 14 22:23:20 2023
"""
IOSTAT = """              disk0               disk4
    KB/t xfrs   MB      KB/t xfrs   MB
   22.39 1234567 26983.45     4.00 100 0.55
"""
HOT = """Note: No performance warning level has been recorded
2026-09-23 14:05:31 -0700 Thermal Warning Level = 70
"""
ENGINE = """# HELP llamacpp:requests_processing Number of requests processing.
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 3
llamacpp:requests_deferred 2
llamacpp:tokens_predicted_total 9000
"""
MEMORY = 48 * 2**30

SHIMS = {
    "vm_stat": f"cat <<'X'\n{VM_STAT}X\n",
    "sysctl": f"cat <<'X'\nhw.memsize: {MEMORY}\n{SYSCTL}X\n",
    "iostat": f"cat <<'X'\n{IOSTAT}X\n",
    "pmset": f"case $2 in therm) cat <<'X'\n{HOT}X\n;; *) echo \"Now drawing from 'Battery Power'\";; esac\n",
    "ioreg": "echo '  | |   \"AppleClamshellState\" = No'\n",
    "ps": "echo ' 92.1 llama-server'; echo '  3.0 a;b c'; echo '  1.5 WindowServer'; echo ' 0.1 more'\n",
    "curl": f"for url; do :; done; case $url in http://127.0.0.1:8080/metrics) cat <<'X'\n{ENGINE}X\n;; *) exit 7;; esac\n",
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


def sample(mac, shell="dash", ticks=4, engine="http://127.0.0.1:8080"):
    environment = {"PATH": f"{mac}:/usr/bin:/bin", "HOME": str(mac)}
    command = ["/bin/sh" if shell == "sh" else shell, "-s"]
    return subprocess.run(
        command,
        input=sampler_script(ticks, engine),
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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host_swap_used", round(1024.5 * 2**20)),
        ("host_open_files", 4711),
        ("host_sockets", 60),
        ("host_time_wait", 12),
        ("slept_at", 1700000000),
        ("woke_at", 1700000600),
        ("thermal_level", 70),
        ("on_battery", True),
        ("lid_closed", False),
        ("busiest", "92.1 llama-server, 3.0 a b c, 1.5 WindowServer"),
        ("engine_busy", 3),
        ("engine_queued", 2),
    ],
)
def test_what_a_macs_programs_say_of_it_is_in_the_series(mac, name, value):
    assert {row[name] for row in parse_series(sample(mac, ticks=2))} - {None} == {value}


def test_what_the_sampler_itself_took_grows_and_is_in_the_series(mac):
    spent = [row["sampler_cpu_s"] for row in parse_series(sample(mac, ticks=12))]
    known = [value for value in spent if value is not None]
    assert known == sorted(known)
    assert known[-1] > 0
    inside = [row["vm_sampler_cpu_s"] for row in parse_series(sample(mac, ticks=2))]
    assert any(value is not None for value in inside)


def test_where_nothing_can_be_written_the_sampler_goes_on_without_its_own_cost(mac):
    (mac / "mktemp").write_text("#!/bin/sh\nexit 1\n")
    (mac / "mktemp").chmod(0o755)
    rows = parse_series(sample(mac))
    assert len([row for row in rows if row["host_used_pct"]]) == 4
    assert {row["sampler_cpu_s"] for row in rows} == {None}


def test_without_an_engine_to_ask_none_is_asked(mac):
    assert not [line for line in sample(mac, engine="").splitlines() if line.startswith("E")]
    assert {row["engine_busy"] for row in parse_series(sample(mac, engine="http://127.0.0.1:1"))} == {None}


def test_every_line_fits_one_write_of_a_macos_pipe(mac):
    assert max(len(line) for line in sample(mac).splitlines()) < 512


def test_without_a_vm_only_the_host_is_sampled(mac):
    (mac / "limactl").write_text("#!/bin/sh\nexit 1\n")
    rows = parse_series(sample(mac))
    assert rows
    assert {row["vm_mem_used"] for row in rows} == {None}
    assert len([row for row in rows if row["host_used_pct"]]) == 4


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


V2 = "memory=some avg10=1.50;cpu=some avg10=20.25;sockets=inuse 4 orphan 0 tw 7 alloc 9 mem 0"


def w_line(second, *, read=0, throttled="", faults="", used=""):
    return f"W {second} {V2};files=99;read={read};written=8;used={used};faults={faults};throttled={throttled};cost=12"


def test_the_vms_counters_become_rates_and_its_state_stays_as_it_is():
    first, second = (
        w_line(10, read=100, throttled=5, faults=3, used=2048),
        w_line(12, read=300, throttled=500_005, faults=7, used=4096),
    )
    early, late = parse_series(f"{first}\n{second}")
    assert early["vm_disk_read_bytes_per_s"] is None
    assert {name: late[name] for name in late if late[name] is not None} == {
        "t_wall_ns": 12 * 10**9,
        "vm_psi_memory_some_avg10": 1.5,
        "vm_psi_cpu_some_avg10": 20.25,
        "vm_sockets": 4,
        "vm_time_wait": 7,
        "vm_open_files": 99,
        "vm_disk_read_bytes_per_s": 100 * 512.0,
        "vm_disk_written_bytes_per_s": 0.0,
        "container_memory": 4096,
        "container_throttled_pct": 25.0,
        "container_major_faults_per_s": 2.0,
        "vm_sampler_cpu_s": 0.12,
    }


@pytest.mark.parametrize(
    ("lines", "name", "values"),
    [
        (("W 1 read=5", "W 2 read=1"), "vm_disk_read_bytes_per_s", [None, None]),  # counted anew
        (("H 1 disk=1.00", "H 3 disk=2.50"), "host_disk_bytes_per_s", [None, 0.75 * 2**20]),
        (("V 1 psi=some avg10=1.0", "V 1 psi=some avg10=9.0"), "vm_psi_io_some_avg10", [1.0]),
        (("P 1 heat=Note: No thermal warning level has been recorded",), "thermal_level", [0]),
        (("P 1 heat=2026-09-23 14:05 Thermal Warning Level = 70,",), "thermal_level", [70]),
        (("P 1 heat=Error:Failed to get thermal warning level",), "thermal_level", [None]),
        (("P 1 power=Now drawing from 'AC Power'",), "on_battery", [False]),
        (("P 1 power=",), "on_battery", [None]),
        (("P 1 lid=Yes",), "lid_closed", [True]),
        (("H 1 slept=0",), "slept_at", [None]),  # it never slept
        (("X 5 fsync=0.00123;clock=8",), "vm_fsync_ms", [1.23]),
        (("X 5 fsync=0.00123;clock=8",), "vm_clock_offset_s", [3]),
        (("X 5 fsync=4.5e-05;clock=",), "vm_fsync_ms", [0.045]),
        (("E 1 vllm:num_requests_waiting=2.0;vllm:num_requests_waiting=3.0",), "engine_queued", [5.0]),
        (("E 1 vllm:kv_cache_usage_perc=0.25;vllm:num_requests_running=1.0",), "engine_kv_pct", [25.0]),
        (("E 1 ",), "engine_busy", [None]),
        (("C 1 host 0m0.010s 0m0.020s 1m1.000s 0m0.500s",), "sampler_cpu_s", [61.53]),
        (
            ("C 1 host 0m1.0s 0m0.0s 0m0.0s 0m0.0s", "C 1 engine 0m0.5s 0m0.0s 0m0.0s 0m0.0s"),
            "sampler_cpu_s",
            [1.5],
        ),
        (("C 1 host 0m1.0s 0m0.0s",), "sampler_cpu_s", [None]),
    ],
)
def test_lines_of_every_kind_are_read(lines, name, values):
    found = [row[name] for row in parse_series("\n".join(lines))]
    assert found == [value if value is None else pytest.approx(value) for value in values]


@given(
    st.lists(
        st.sampled_from("HPCVWXE").flatmap(
            lambda kind: st.text(max_size=60).map(lambda body: f"{kind} 1 {body}")
        )
    )
)
def test_whatever_a_node_prints_is_a_row_of_a_series_or_nothing(lines):
    for row in parse_series("\n".join(lines)):
        assert set(row) == set(SERIES_COLUMNS)


@pytest.mark.parametrize("ahead", [0.0, 0.4, -37.25, 3600.0])
def test_the_clocks_offset_is_that_of_the_line_that_was_quickest_under_way(ahead):
    ways = [0.080, 0.004, 0.250]
    sent = [1_700_000_000.3 + 5 * number for number in range(len(ways))]
    heard = [
        (f"K {int(ours + ahead)} clock={ours + ahead:.4f}", ours + way)
        for ours, way in zip(sent, ways, strict=True)
    ]
    assert clock_offset(heard) == pytest.approx(ahead, abs=0.005)


@pytest.mark.parametrize(
    "line", ["", "H 5 clock=5.0", "K", "K x", "K 5 clock=", "K 5 clock=-1", "K 5 clock=nan"]
)
def test_without_a_line_that_holds_it_the_clocks_offset_is_unknown(line):
    assert clock_offset([(line, 5.0)]) is None


def test_the_host_tells_its_clock_to_a_fraction_of_a_second(mac):
    began = time.time()
    heard = [(line, time.time()) for line in sample(mac, ticks=1).splitlines()]
    offset = clock_offset(heard)
    assert offset is not None
    assert began - time.time() <= offset <= 0


@pytest.mark.parametrize(
    "line",
    ["", "H", "H x y", "V 1", "hello", "V 1 stat=1 2 3;psi=;total=;available=x", "H -5 a", "H 1 level=;;=;:"],
)
def test_broken_lines_give_no_figures_and_no_crash(line):
    for row in parse_series(line):
        assert {value for key, value in row.items() if key != "t_wall_ns"} == {None}


@pytest.mark.parametrize("missing", ["anonymous", "purgeable", "wired", "compressor"])
def test_memory_without_one_of_its_counters_is_unknown(missing):
    counters = {
        "anonymous": 10,
        "purgeable": 1,
        "wired": 2,
        "compressor": 3,
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
