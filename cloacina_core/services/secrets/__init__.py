"""Secrets: sealed with master keys, opened for the tasks that may ask, and nobody else."""
