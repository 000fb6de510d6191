"""When scheduled work is due: pure, from an expression, a time zone and two policies."""
