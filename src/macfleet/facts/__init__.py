"""Facts of a node: read-only probes and the parsers of what they print."""
