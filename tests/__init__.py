"""What Tally promises, as programs that can fail."""
