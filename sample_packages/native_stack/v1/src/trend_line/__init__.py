"""A line through a series of numbers, as release 1.0 lays it."""

RELEASE = "1.0"
