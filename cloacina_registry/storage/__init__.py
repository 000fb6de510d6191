"""Where releases are kept: their bytes by digest, and what is known of each in the catalog."""
