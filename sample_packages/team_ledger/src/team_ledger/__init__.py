"""A ledger that several teams share, each with a token of its own."""
