"""The gross price of an order, as release 1.0 reckons it."""

RELEASE = "1.0"
