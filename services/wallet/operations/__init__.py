"""What the wallet does. One function is one transaction: load, decide, save, announce."""
