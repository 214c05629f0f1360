"""The one symbol set; colour never carries meaning alone."""

from __future__ import annotations

from collections.abc import Mapping

from macfleet.model.resource import Action
from macfleet.model.stage import Outcome
from macfleet.rollout.result import NodeOutcome

ACTIONS: Mapping[Action, str] = {
    Action.NOOP: "·",
    Action.CREATE: "+",
    Action.UPDATE: "~",
    Action.REPLACE: "±",
    Action.DELETE: "-",
}
OUTCOMES: Mapping[Outcome, str] = {
    Outcome.PASS: "✓",
    Outcome.HOLD: "!",
    Outcome.FAIL: "✗",
    Outcome.INCONCLUSIVE: "?",
    Outcome.NOT_APPLICABLE: "–",
}
NODES: Mapping[NodeOutcome, str] = {
    NodeOutcome.CURRENT: "·",
    NodeOutcome.UNCHANGED: "✓",
    NodeOutcome.CHANGED: "✓",
    NodeOutcome.PENDING: "~",
    NodeOutcome.HELD: "!",
    NodeOutcome.FAILED: "✗",
    NodeOutcome.UNREACHABLE: "✗",
    NodeOutcome.LOCKED: "⌛",
    NodeOutcome.NOT_REACHED: "·",
    NodeOutcome.INTERRUPTED: "!",
}
# Okabe and Ito's palette, which colour-blind people can tell apart.
COLOURS: Mapping[str, str] = {
    "✓": "#009e73",
    "+": "#009e73",
    "~": "#e69f00",
    "±": "#e69f00",
    "-": "#d55e00",
    "!": "#e69f00",
    "✗": "#d55e00",
    "?": "#56b4e9",
    "⌛": "#56b4e9",
}
