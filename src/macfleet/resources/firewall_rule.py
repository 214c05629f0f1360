"""Who may reach a port of a Mac: rules of the packet filter in an anchor of their own, loaded at boot too.

macOS evaluates every anchor below ``com.apple`` in its own rule set (/etc/pf.conf), so nothing of the system
is edited, and an update of macOS that writes /etc/pf.conf anew takes nothing away. Each rule carries the
digest of all of them as its label, which ``pfctl -s rules`` shows: pf rewrites a rule, but never its label.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from macfleet.model.json import Json
from macfleet.model.resource import (
    Action,
    Change,
    Probe,
    ProbeOutput,
    Run,
    State,
    Step,
    Value,
    compare,
    removal,
)
from macfleet.model.shell import quote, words
from macfleet.resources.daemon import Daemon
from macfleet.resources.params import Params, Presence, Surroundings

_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,40}\Z")
_LABEL = re.compile(r' label "macfleet-([0-9a-f]{32})"')
_LOADER = 'anchor=$0; printf "%s\\n" "$@" | exec /sbin/pfctl -q -E -a "$anchor" -f -'
_UNLOADED: dict[str, Value] = {
    "plist": None,
    "mode": None,
    "owner": None,
    "loaded": None,
    "running": False,
    "state": "not loaded",
}


def _network(value: str) -> str:
    return str(ip_network(value))


Source = Annotated[str, AfterValidator(_network)]


class FirewallRuleParams(Params):
    """Who may open connections to a port of the node, by rules of pf that survive restarts.

    allow lets in the sources and nobody else, deny keeps out the sources, or everybody where there are none.
    The node itself always reaches its own port, and connections that are established go on.
    """

    kind: ClassVar[str] = "firewall_rule"

    name: str = Field(description="Name of the anchor below com.apple/macfleet., such as engine.")
    action: Literal["allow", "deny"] | None = Field(
        None, description="What the sources may do. Needed unless absent."
    )
    port: int | None = Field(
        None, description="Port of the node; that of SSH is refused. Needed unless absent.", ge=1, le=65535
    )
    protocol: Literal["tcp", "udp"] = Field("tcp", description="Protocol of the port.")
    sources: tuple[Source, ...] = Field((), description="Addresses and networks, such as 10.0.0.0/8.")
    state: Presence = Field(
        "present", description="absent removes the rules, by their name; pf itself stays enabled."
    )

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        if not _NAME.match(value):
            raise ValueError(f"{value!r} is not a name: small letters, digits and -")
        return value

    @model_validator(mode="after")
    def _somebody(self) -> FirewallRuleParams:
        missing = [name for name in ("action", "port") if getattr(self, name) is None]
        if missing and self.state == "present":
            raise ValueError(f"{' and '.join(missing)} missing")
        if self.action == "allow" and not self.sources:
            raise ValueError("allow needs sources; without a rule everybody is let in")
        return self

    def address(self, task: str) -> str:  # noqa: ARG002  (the name names it)
        """Return ``firewall_rule.`` and the name."""
        return f"firewall_rule.{self.name}"

    def build(self, around: Surroundings) -> FirewallRule:
        """Return the rules (raises ValueError where they could lock macfleet out)."""
        if self.state == "absent":
            return FirewallRule(self.name, (), True, around.needs)
        if self.port in {22, around.node.endpoint.port} and self.protocol == "tcp":
            raise ValueError(
                f"port {self.port} is how the node is reached; a wrong rule would lock everybody out"
            )
        return FirewallRule(self.name, self._rules(), needs=around.needs)

    def _rules(self) -> tuple[str, ...]:
        """Return rules of pf.conf(5) without labels; the first that matches decides."""
        # only a SYN is judged: what is established has no state in a filter that was enabled later
        opening = " flags S/SA" if self.protocol == "tcp" else ""
        networks = tuple(ip_network(source) for source in self.sources)
        rule = f"quick on ! lo0 {{}} to any port {self.port}{opening}"
        if self.action == "allow":
            let_in = (f"pass in {rule.format(self._from(each))}" for each in networks)
            return (*let_in, f"block return in {rule.format(self._from(None))}")
        kept_out = networks or (None,)
        return tuple(f"block return in {rule.format(self._from(each))}" for each in kept_out)

    def _from(self, network: IPv4Network | IPv6Network | None) -> str:
        if network is None:
            return f"proto {self.protocol} from any"
        family = "inet" if network.version == 4 else "inet6"
        return f"{family} proto {self.protocol} from {network}"


@dataclass(frozen=True, slots=True)
class FirewallRule:
    """Rules of an anchor, in order and without labels."""

    name: str
    rules: tuple[str, ...]
    absent: bool = False
    needs: tuple[str, ...] = ()
    kind: ClassVar[str] = "firewall_rule"

    @property
    def address(self) -> str:
        """``firewall_rule.`` and the name."""
        return f"firewall_rule.{self.name}"

    @property
    def anchor(self) -> str:
        """The anchor of the rules; of all anchors that of a drained node is met first."""
        return f"com.apple/macfleet.{self.name}"

    @property
    def digest(self) -> str:
        """What the rules' labels say: 32 hexadecimal digits."""
        return hashlib.sha256("\n".join(self.rules).encode()).hexdigest()[:32]

    @property
    def daemon(self) -> Daemon:
        """The job that loads the rules and asks for pf to be enabled, at boot and whenever it is loaded."""
        arguments: Json = ["/bin/sh", "-c", _LOADER, self.anchor, *self._labelled()]
        settings: dict[str, Json] = {"ProgramArguments": arguments, "RunAtLoad": True}
        return Daemon(f"com.macfleet.firewall.{self.name}", settings, running=False)

    def probe(self) -> Probe:
        """Read whether pf is enabled, the rules it has loaded, and the daemon."""
        script = (
            "i=$(sudo -n pfctl -s info) || exit 1\n"
            "printf '%s\\n' \"$i\" | sed -n 's/^Status: \\([A-Za-z]*\\).*/pf \\1/p'\n"
            # an anchor that nobody made may be an error, and is empty
            f"sudo -n pfctl -a {quote(self.anchor)} -s rules 2>/dev/null | sed 's/^/rule /'\n"
            f"{self.daemon.probe()}"
        )
        return Probe(script, self._parse)

    def desired(self) -> State:
        """The rules loaded, pf enabled, and the daemon."""
        return {} if self.absent else {**self.daemon.desired(), "rules": self.digest, "enabled": True}

    def change(self, actual: State | None) -> Change:
        """Compare; rules that no daemon would load again are a difference too. That pf is enabled stays."""
        if self.absent:
            goes = actual and {name: value for name, value in actual.items() if name != "enabled"}
            return removal(self.address, goes)
        return self.daemon.explain(compare(self.address, self.desired(), actual), actual)

    def steps(self, change: Change) -> tuple[Step, ...]:
        """Let pf judge the rules, then let the daemon load them and wait until they are."""
        differing = {each.field for each in change.fields}
        if change.action is Action.NOOP:
            return ()
        if change.action is Action.DELETE:
            flush = f"pfctl -q -a {quote(self.anchor)} -F rules 2>/dev/null"
            return (Run(f"{self.daemon.removal()}\n{flush}", become=True),)
        if differing & {"rules", "enabled", "loaded"}:
            judge = Run(f"{self._printed()} | pfctl -q -n -a {quote(self.anchor)} -f -", become=True)
            loaded = self.daemon.steps(differing | {"loaded"})
            return (judge, *loaded, Run(self._wait(), become=True))
        return self.daemon.steps(differing)

    def _labelled(self) -> tuple[str, ...]:
        return tuple(f'{rule} label "macfleet-{self.digest}"' for rule in self.rules)

    def _printed(self) -> str:
        return f"printf '%s\\n' {words(self._labelled())}"

    def _wait(self) -> str:
        return (
            f"n=0\nuntil pfctl -a {quote(self.anchor)} -s rules 2>/dev/null | grep -q {self.digest} &&"
            " pfctl -s info 2>/dev/null | grep -q '^Status: Enabled'; do\n"
            "n=$((n + 1)); [ \"$n\" -lt 50 ] || { echo 'pf has not loaded the rules' >&2; exit 1; }\n"
            "sleep 0.2\ndone"
        )

    def _parse(self, output: ProbeOutput) -> State | None:
        before, found, rest = f"\n{output.stdout}".partition("\nplist ")
        lines = before.strip("\n").splitlines()
        if output.exit != 0 or not found or not lines or lines[0] not in {"pf Enabled", "pf Disabled"}:
            raise ValueError(f"{self.name}: {output.stderr.strip() or output.stdout.strip() or 'no answer'}")
        loaded = [line.removeprefix("rule ") for line in lines[1:] if line.startswith("rule ")]
        daemon = self.daemon.parse(f"plist {rest}")
        if daemon is None and not loaded:
            return None
        return {**(daemon or _UNLOADED), "rules": self._loaded(loaded), "enabled": lines[0] == "pf Enabled"}

    def _loaded(self, rules: list[str]) -> Value:
        """Return the one label of as many rules as there should be; else what is wrong; None for no rules."""
        labels = {found[1] if (found := _LABEL.search(rule)) else "" for rule in rules}
        if labels == {self.digest} and len(rules) != len(self.rules):
            return f"{len(rules)} of {len(self.rules)} rules"
        return labels.pop() or "somebody's" if len(labels) == 1 else "mixed" if labels else None
