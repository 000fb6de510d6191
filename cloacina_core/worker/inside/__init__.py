"""What runs in the processes of workers: it needs the standard library only."""
