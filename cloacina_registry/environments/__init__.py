"""What workers import from: the wheels of a release, unpacked, each in a folder by its digest."""
