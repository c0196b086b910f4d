"""The `tally` command: one file a noun."""
