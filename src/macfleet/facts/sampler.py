"""The script that watches a Mac and its VM at 1 Hz; `macfleet.analysis.sampler` reads what it prints."""

from __future__ import annotations

from macfleet.model.shell import quote

_IN_VM = """\
n=0
while [ "$n" -lt {ticks} ]; do
  read -r cpu stat </proc/stat
  psi=
  if [ -r /proc/pressure/io ]; then read -r psi </proc/pressure/io; fi
  total=; free=
  while read -r key value unit; do
    case "$key" in MemTotal:) total=$value ;; MemAvailable:) free=$value; break ;; esac
  done </proc/meminfo
  printf 'stat=%s;psi=%s;total=%s;available=%s\\n' "$stat" "$psi" "$total" "$free" || exit 0
  n=$((n + 1))
  sleep 1 || exit 0
done
"""

_ON_HOST = """\
PATH="$PATH:/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin"; export PATH
watch_vm() {{
  LIMA_HOME="$HOME/.colima/_lima" limactl shell --workdir / colima sh -c {in_vm} 2>/dev/null </dev/null |
    while IFS= read -r line; do
      kill -0 "$$" 2>/dev/null || exit 0
      printf 'V %s %s\\n' "$(date +%s)" "$line" || exit 0
    done
}}
watch_host() {{
  memsize=$(sysctl -n hw.memsize 2>/dev/null)
  n=0
  while [ "$n" -lt {ticks} ]; do
    level=$(sysctl -n kern.memorystatus_vm_pressure_level 2>/dev/null)
    swap=$(sysctl -n vm.swapusage 2>/dev/null)
    vm=$(vm_stat 2>/dev/null | sed -n \\
      -e '/page size of/p' -e '/^Anonymous/p' -e '/^Pages purgeable/p' -e '/^Pages wired/p' \\
      -e '/^Pages occupied/p' -e '/^Swapouts/p' | tr -s ' ' | tr '\\n' ';')
    printf 'H %s memsize=%s;level=%s;swap=%s;%s\\n' "$(date +%s)" "$memsize" "$level" "$swap" "$vm" || exit 0
    n=$((n + 1))
    sleep 1 || exit 0
  done
}}
watch_vm &
vm=$!
trap 'kill "$vm" 2>/dev/null' EXIT
trap 'exit 0' HUP INT TERM PIPE
watch_host
"""


def sampler_script(seconds: int) -> str:
    """Return POSIX sh for the node that prints one line a second for host and VM.

    Host lines are ``H <epoch seconds> memsize=…;level=…;swap=…;<lines of vm_stat>``, VM lines
    ``V <epoch seconds> stat=…;psi=…;total=…;available=…``; both carry the host's clock. A counter that
    cannot be read is left empty. One process enters the VM once and stays; without a VM only host lines come.
    It ends after `seconds` ticks, when it is killed, or when nobody reads its output any more.

    Lines stay under 512 bytes, which a pipe of macOS writes in one piece, so the two never mix.
    """
    in_vm = quote(_IN_VM.format(ticks=seconds))
    return _ON_HOST.format(in_vm=in_vm, ticks=seconds)
