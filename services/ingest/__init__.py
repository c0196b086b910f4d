"""Owns the event log, event identity and verdicts; knows nothing of what an event is worth."""
