"""Seeded faults: lines broken on purpose, each of which must turn the tests red."""
