"""Benchmarks; each keeps its section of `docs/benchmarks.md`."""
