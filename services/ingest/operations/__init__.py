"""What ingest does: recording, reading, and handing on."""
