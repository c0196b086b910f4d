"""Tables of the invoicing database and what reads and writes them over an open connection."""
