"""Files that are dropped into a folder start runs, and so do events."""
