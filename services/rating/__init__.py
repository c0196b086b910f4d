"""Rating owns meters, plans, subscriptions and their billing periods, usage and fees.

It does not own who pays, taxes or documents.
"""
