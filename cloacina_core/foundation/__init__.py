"""What everything stands on: clock, ids, names, JSON values and digests. Standard library only."""
