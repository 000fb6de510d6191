"""A line through a series of numbers, as release 2.0 lays it."""

RELEASE = "2.0"
