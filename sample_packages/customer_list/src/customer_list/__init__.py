"""Fetches the customers of a service that asks who is there."""
