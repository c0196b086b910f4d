"""Kill tests: under load each process is killed in turn, then everything is compared."""
