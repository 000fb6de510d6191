"""Keys, signed envelopes, trust, and the verification that joins them."""
