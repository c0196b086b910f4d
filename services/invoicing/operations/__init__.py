"""What the service does. One function is one transaction: load, decide, save, announce."""
