"""The straight line: plan the fleet, go in waves, drain, apply, verify, gather evidence, measure, judge."""
