"""How fast events come in: `make bench-ingest`."""
