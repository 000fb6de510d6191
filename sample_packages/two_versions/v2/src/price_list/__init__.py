"""The gross price of an order, as release 2.0 reckons it."""

RELEASE = "2.0"
