"""The wallet service owns wallets, their ledger, grants and holds; it does not own invoices."""
