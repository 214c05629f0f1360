"""What is promised and what it is pinned to: contract, fixtures, hashes, `contract.lock`, `images.lock`."""
