"""Sent events: what happened elsewhere, told by name with data, and who is to know of it."""
