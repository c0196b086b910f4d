"""How Tally is run: `embedded` on one machine, the rest elsewhere."""
