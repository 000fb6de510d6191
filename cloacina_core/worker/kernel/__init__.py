"""Doors of the Linux kernel that the standard library doesn't have."""
