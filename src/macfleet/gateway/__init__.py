"""What takes a node out of service: the node's own half where a pool has no edge."""
