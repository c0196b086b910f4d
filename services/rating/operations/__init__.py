"""What rating does. One function is one transaction: load, decide, save, announce."""
