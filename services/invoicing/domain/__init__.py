"""What an invoice is and how its amounts come about: pure."""
