"""Tables of the ingest database, and reading and writing them."""
