"""An almanac that is reported on a schedule."""
