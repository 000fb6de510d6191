"""The registry's commands, a module for each noun. They parse, call and render; no more."""
