"""Channel pruning: criteria, updates, targets, and the runner that puts them together."""
