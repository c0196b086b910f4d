"""The document of an invoice: a PDF that one wants to look at, and the same bytes every time."""
