"""What happens next: plan purely, write, then act."""
