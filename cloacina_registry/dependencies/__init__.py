"""The distributions that a package's lock names: fetched once, kept by digest, never resolved."""
