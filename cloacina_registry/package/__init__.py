"""From a project to a signed package: scaffold, build, read, lock, seal, inspect, compare."""
