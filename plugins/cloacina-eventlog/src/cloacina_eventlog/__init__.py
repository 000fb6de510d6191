"""Writes what happens to runs into a file."""
