"""The rating database. Functions here take an open connection and never commit."""
