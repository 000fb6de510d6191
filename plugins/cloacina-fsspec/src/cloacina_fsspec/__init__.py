"""Keeps uploaded packages wherever fsspec reaches."""
