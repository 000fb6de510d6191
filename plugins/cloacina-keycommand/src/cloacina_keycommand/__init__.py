"""Has a program hand out the master keys of secrets."""
