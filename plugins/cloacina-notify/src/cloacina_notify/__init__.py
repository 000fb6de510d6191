"""Tells people and programs how runs end, and what can't be started."""
