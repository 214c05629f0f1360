"""The edge in front of a pool; without one, a node is not drained and that is said."""
