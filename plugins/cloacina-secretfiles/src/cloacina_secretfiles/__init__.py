"""Reads secrets from folders of files, as orchestrators mount them."""
