"""The rules of the event log: pure, with time and secrets as arguments."""
