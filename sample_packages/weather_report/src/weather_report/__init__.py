"""A year of daily weather observations as an HTML report."""
