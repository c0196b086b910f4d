"""Owns customers, taxes and invoices; it owns no price, no usage and no money."""
