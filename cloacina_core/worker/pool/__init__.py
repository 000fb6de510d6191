"""The engine's side of worker processes: who starts them, lends them, and knows when they ended."""
