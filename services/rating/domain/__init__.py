"""The rules of rating: pure functions of values, without clock, storage or messages."""
