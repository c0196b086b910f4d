"""Four stories of real usage that becomes correct invoices; run by `tally demo`."""
