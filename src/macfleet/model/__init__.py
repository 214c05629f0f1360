"""Frozen value types and ports shared by everything else; the standard library alone."""
