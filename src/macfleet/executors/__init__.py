"""Who runs a stage on a node: local threads, and the load client at its vantages."""
