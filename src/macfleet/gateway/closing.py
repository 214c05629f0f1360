"""How a Mac is closed to new connections, and opened: pf, in an anchor of our own.

The reject rule is pf's. macOS evaluates the anchors below ``com.apple`` in its own rule set, so a rule is
loaded into one of them and /etc/pf.conf stays as it is; ``pfctl -E`` counts who wants pf enabled and gives a
token, which ``pfctl -X`` gives back (pfctl(8), pf.conf(5)). The rule refuses a SYN with a reset; what is
established goes on. Beside each port another one of the loopback, its entry, is redirected to it and passes
the rule: whoever took the node out proves and measures there. That both work is proven by connections, not by
reading rules. A node is entered at the published port of its container and, where it has one, at the front of
its own engine: all of them are closed by one load of the anchor.
"""

from __future__ import annotations

from collections.abc import Sequence

from macfleet.model.shell import quote
from macfleet.rollout.arms import entry_to

REFUSED_BY_SUDO = 77
"""Exit status: `sudo -n` or pfctl refused."""
STILL_OPEN = 78
"""Exit status: the rule stands and a connection is accepted all the same."""
NO_ENTRY = 79
"""Exit status: the rule stands and an entry leads nowhere."""
ANCHOR = "com.apple/macfleet"
LABEL = "macfleet-"
"""What the label of a reject rule begins with; the port follows."""
FOLDER = "$HOME/.macfleet"
"""Where the node keeps what macfleet writes down on it."""
_NEXT = "\n"


def close(ports: Sequence[int]) -> str:
    """Return script text that closes ports at once and proves it."""
    # The marker first: a Mac that restarts now must not bring the containers back. What starts the VM then
    # reads the rules from their file before it does.
    here = "127.0.0.1 port"
    lets_in = (
        f"rdr pass on lo0 inet proto tcp from any to {here} {entry_to(port)} -> {here} {port}"
        for port in ports
    )
    # pfctl may show a port by its name; a label it shows as it was given.
    refuses = (
        f'block return in quick proto tcp from any to any port {port} flags S/SA label "{LABEL}{port}"'
        for port in ports
    )
    rules = " ".join(quote(rule) for rule in (*lets_in, *refuses))
    return f""": >"{FOLDER}/drained" || exit 1
{_NEXT.join(f"{_tried(port)}; before_{port}=$?" for port in ports)}
printf '%s\\n' {rules} >"{FOLDER}/pf.rules" || exit 1
sudo -n pfctl -q -a {ANCHOR} -f - <"{FOLDER}/pf.rules" 2>"{FOLDER}/pf.log" ||
  {{ tail -n 2 "{FOLDER}/pf.log" >&2; exit {REFUSED_BY_SUDO}; }}
token=$(cat "{FOLDER}/pf.token" 2>/dev/null)
if [ -z "$token" ] || ! sudo -n pfctl -s References 2>/dev/null | grep -q -w -e "$token"; then
  sudo -n pfctl -E 2>&1 | sed -n 's/^Token : *//p' >"{FOLDER}/pf.token"
  [ -s "{FOLDER}/pf.token" ] || {{ echo 'pfctl -E gave no token' >&2; exit {REFUSED_BY_SUDO}; }}
fi
{_NEXT.join(_refused(port) for port in ports)}
{_NEXT.join(_let_in(port) for port in ports)}"""


def reopen() -> str:
    """Return script text that opens whatever was closed."""
    return f"""if [ -e "{FOLDER}/pf.token" ]; then
  for what in rules nat; do
    sudo -n pfctl -q -a {ANCHOR} -F "$what" 2>"{FOLDER}/pf.log" ||
      {{ tail -n 2 "{FOLDER}/pf.log" >&2; exit {REFUSED_BY_SUDO}; }}
  done
  # A token of before a restart is nobody's any more.
  sudo -n pfctl -q -X "$(cat "{FOLDER}/pf.token")" >/dev/null 2>&1
  rm -f "{FOLDER}/pf.token" "{FOLDER}/pf.log"
fi
rm -f "{FOLDER}/drained" "{FOLDER}/pf.rules\""""


def _refused(port: int) -> str:
    """Script text that proves that nobody is let in at a port."""
    says = f'echo "a connection to port {port} was not refused" >&2; exit {STILL_OPEN}'
    return f"{_tried(port)}; [ $? = 7 ] || {{ {says}; }}"


def _let_in(port: int) -> str:
    """Script text that proves the entry of a port at which somebody listened."""
    refused = f'echo "a connection to the entry {entry_to(port)} was refused" >&2; exit {NO_ENTRY}'
    return f'[ "$before_{port}" = 7 ] || {{ {_tried(entry_to(port))}; [ $? != 7 ] || {{ {refused}; }}; }}'


def _tried(port: int) -> str:
    return f"curl -s -m 2 -o /dev/null http://127.0.0.1:{port}/health"
