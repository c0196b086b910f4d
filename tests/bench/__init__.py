"""How fast the suite is and how much memory it takes: `make bench`."""
