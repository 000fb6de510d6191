"""Tells people and programs how runs end."""
