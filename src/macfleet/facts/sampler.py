"""The script that watches a Mac, its VM and its engine at 1 Hz; `macfleet.analysis.sampler` reads it."""

from __future__ import annotations

from macfleet.model.shell import quote

SLOW = 5
"""Ticks between readings of what changes slowly or costs more: heat, mains, lid, busiest processes, fsync."""

# Programs of the shell alone but for one sleep a tick: what it costs shows in the figures it reads.
_IN_VM = """\
n=0
while [ "$n" -lt @TICKS@ ]; do
  read -r cpu stat </proc/stat
  io=; memory=; wait=
  if [ -r /proc/pressure/io ]; then
    read -r io </proc/pressure/io; read -r memory </proc/pressure/memory; read -r wait </proc/pressure/cpu
  fi
  total=; free=
  while read -r key value unit; do
    case "$key" in MemTotal:) total=$value ;; MemAvailable:) free=$value; break ;; esac
  done </proc/meminfo
  printf 'V stat=%s;psi=%s;total=%s;available=%s\\n' "$stat" "$io" "$total" "$free" || exit 0
  sockets=
  while read -r key value; do case "$key" in TCP:) sockets=$value ;; esac; done </proc/net/sockstat
  read -r files rest </proc/sys/fs/file-nr
  read=0; written=0
  while read -r major minor name a b in c d e out rest; do
    case "$name" in vd[a-z]|sd[a-z]|nvme[0-9]n[0-9]) read=$((read + in)); written=$((written + out)) ;; esac
  done </proc/diskstats
  used=; faults=; throttled=
  for group in /sys/fs/cgroup/docker/*/ /sys/fs/cgroup/system.slice/docker-*.scope/; do
    [ -r "$group/memory.current" ] || continue
    read -r value <"$group/memory.current" && used=$((used + value))
    while read -r key value; do
      case "$key" in pgmajfault) faults=$((faults + value)) ;; esac
    done <"$group/memory.stat"
    while read -r key value; do
      case "$key" in throttled_usec) throttled=$((throttled + value)) ;; esac
    done <"$group/cpu.stat"
  done
  for group in /sys/fs/cgroup/memory/docker/*/; do
    [ -r "$group/memory.usage_in_bytes" ] || continue
    read -r value <"$group/memory.usage_in_bytes" && used=$((used + value))
    while read -r key value; do
      case "$key" in total_pgmajfault) faults=$((faults + value)) ;; esac
    done <"$group/memory.stat"
    group=${group%/}
    [ -r "/sys/fs/cgroup/cpu/docker/${group##*/}/cpu.stat" ] || continue
    while read -r key value; do
      case "$key" in throttled_time) throttled=$((throttled + value / 1000)) ;; esac
    done <"/sys/fs/cgroup/cpu/docker/${group##*/}/cpu.stat"
  done
  read -r own </proc/$$/stat
  set -- $own
  printf 'W memory=%s;cpu=%s;sockets=%s;files=%s;read=%s;written=%s;' \\
    "${memory%% avg60*}" "${wait%% avg60*}" "$sockets" "$files" "$read" "$written" || exit 0
  printf 'used=%s;faults=%s;throttled=%s;cost=%s\\n' \\
    "$used" "$faults" "$throttled" "$((${14} + ${15} + ${16} + ${17}))" || exit 0
  if [ "$((n % @SLOW@))" = 0 ]; then
    took=$(LC_ALL=C dd if=/dev/zero of=/var/tmp/.macfleet-fsync bs=4096 count=1 conv=fsync 2>&1)
    took=${took##*copied, }
    printf 'X fsync=%s;clock=%s\\n' "${took%% s,*}" "$(date +%s)" || exit 0
  fi
  n=$((n + 1))
  sleep 1 || exit 0
done
rm -f /var/tmp/.macfleet-fsync
"""

# The counters of several programs on one line; a program that says nothing leaves its names out.
_COUNTERS = r"""
function say(name, value) { sub(/[.,]$/, "", value); line = line ";" name "=" value }
function after(word,   i) { for (i = 1; i < NF; i++) if ($i == word) return $(i + 1 + ($(i + 1) == "=")) }
/page size of/ { say("page", after("of")) }
/^Anonymous pages:/ { say("anonymous", $NF) }
/^Pages purgeable:/ { say("purgeable", $NF) }
/^Pages wired down:/ { say("wired", $NF) }
/^Pages occupied by compressor:/ { say("compressor", $NF) }
/^Swapouts:/ { say("swapouts", $NF) }
/^hw.memsize:/ { say("memsize", $NF) }
/^kern.memorystatus_vm_pressure_level:/ { say("level", $NF) }
/^vm.swapusage:/ { say("swap", after("used")) }
/^kern.num_files:/ { say("files", $NF) }
/^net.inet.tcp.pcbcount:/ { say("sockets", $NF) }
/^net.inet.tcp.tw_pcbcount:/ { say("tw", $NF) }
/^kern.sleeptime:/ { say("slept", after("sec")) }
/^kern.waketime:/ { say("woke", after("sec")) }
/^ *[0-9.]+ +[0-9]+ +[0-9.]+/ { for (i = 3; i <= NF; i += 3) disk += $i; say("disk", sprintf("%.2f", disk)) }
END { print "H " now " " substr(line, 2) }
"""

# One row a name; the rows of several models or labels are summed by who reads them.
_ENGINE = r"""
BEGIN { known = "^(llamacpp:(requests_(processing|deferred)|kv_cache_usage_ratio)" \
  "|vllm:(num_requests_(running|waiting)|(kv|gpu)_cache_usage_perc))[ {]" }
$0 ~ known { sub(/\{.*\}/, "", $0); line = line ";" $1 "=" $2 }
END { print "E " now " " substr(line, 2) }
"""

_ON_HOST = """\
PATH="$PATH:/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin"; export PATH
LC_ALL=C; export LC_ALL
watch_vm() {
  LIMA_HOME="$HOME/.colima/_lima" limactl shell --workdir / colima sh -c @IN_VM@ 2>/dev/null </dev/null |
    while IFS= read -r line; do
      kill -0 "$$" 2>/dev/null || exit 0
      case "$line" in V*) now=$(date +%s) ;; esac
      printf '%s %s %s\\n' "${line%% *}" "$now" "${line#* }" || exit 0
    done
}
tell_cost() {
  [ -n "$kept" ] && times >"$kept/$1" && { read -r a b; read -r c d; } <"$kept/$1" || return 0
  printf 'C %s %s %s %s %s %s\\n' "$(date +%s)" "$1" "$a" "$b" "$c" "$d"
}
watch_engine() {
  n=0
  while [ "$n" -lt @TICKS@ ] && kill -0 "$$" 2>/dev/null; do
    if [ "$((n % @SLOW@))" = 0 ]; then tell_cost engine || exit 0; fi
    curl -fsS -m 1 @METRICS@ 2>/dev/null | awk -v now="$(date +%s)" @ENGINE@ || exit 0
    n=$((n + 1))
    sleep 1 || exit 0
  done
}
watch_host() {
  n=0
  while [ "$n" -lt @TICKS@ ]; do
    now=$(date +%s)
    { sysctl hw.memsize kern.memorystatus_vm_pressure_level vm.swapusage kern.num_files \\
        net.inet.tcp.pcbcount net.inet.tcp.tw_pcbcount kern.sleeptime kern.waketime
      vm_stat
      iostat -Id; } 2>/dev/null | awk -v now="$now" @COUNTERS@ || exit 0
    if [ "$((n % @SLOW@))" = 0 ]; then
      heat=$(pmset -g therm 2>/dev/null | tr -s '\\t\\n' ' ,' | cut -c 1-160)
      power=$(pmset -g batt 2>/dev/null | head -n 1)
      lid=$(ioreg -r -k AppleClamshellState -d 4 2>/dev/null | sed -n 's/.*"AppleClamshellState" = //p')
      busy=$(ps -Acr -o pcpu=,comm= 2>/dev/null | head -n 3 | tr -s ' ;' ' ' | tr '\\n' ',' | cut -c 1-120)
      printf 'P %s heat=%s;power=%s;lid=%s;busy=%s\\n' "$now" "$heat" "$power" "$lid" "$busy" || exit 0
      tell_cost host || exit 0
      perl -MTime::HiRes=time -e '$now = time; printf "K %d clock=%.4f\\n", $now, $now' 2>/dev/null
    fi
    n=$((n + 1))
    sleep 1 || exit 0
  done
}
kept=$(mktemp -d 2>/dev/null) || kept=
watch_vm &
vm=$!
@START_ENGINE@
trap 'kill "$vm" $engine 2>/dev/null; [ -z "$kept" ] || rm -rf "$kept"' EXIT
trap 'exit 0' HUP INT TERM PIPE
watch_host
"""


def sampler_script(seconds: int, engine: str = "") -> str:
    """Return POSIX sh for the node that prints one line of each kind a second for host, VM and engine.

    A line is its kind, epoch seconds of the host's clock, and ``name=value`` pairs. ``H``: memory, swap,
    descriptors, sockets, disk and sleep of the host. ``P``: heat, mains, lid, busiest processes. ``K``: the
    host's clock to a fraction of a second. ``C``: CPU time so far of the part that watches the host, and of
    the one that asks the engine. ``V``: ticks, PSI and memory of the VM. ``W``: its sockets, descriptors,
    disk, containers, and CPU ticks of the part inside. ``X``: fsync and clock of the VM. ``E``: what the
    engine at the URL `engine` says on ``/metrics``. P, K, C and X come every `SLOW` ticks. A counter that
    cannot be read is left empty or out. One process enters the VM once and stays; without a VM no V, W and X
    come. It ends after `seconds` ticks, when it is killed, or when nobody reads its output any more.

    Lines stay under 512 bytes, which a pipe of macOS writes in one piece, so they never mix.
    """
    script = _ON_HOST
    values = {
        "START_ENGINE": "watch_engine &\nengine=$!" if engine else "engine=",
        "METRICS": quote(f"{engine}/metrics"),
        "COUNTERS": quote(_COUNTERS),
        "ENGINE": quote(_ENGINE),
        "IN_VM": quote(_IN_VM),
        "TICKS": str(seconds),
        "SLOW": str(SLOW),
    }
    for name, value in values.items():
        script = script.replace(f"@{name}@", value)
    return script
