"""How many processes a load client may have, for those who read it of nodes and those who start them."""

from __future__ import annotations

MOST_PROCESSES = 16
"""Client processes that may share one segment."""
