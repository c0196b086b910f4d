"""Whole stories of billing, played through the public API by a suite with a moved clock."""
