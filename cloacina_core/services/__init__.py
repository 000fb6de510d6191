"""Companions of the engine, each with `start` and `stop`."""
