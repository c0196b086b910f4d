"""The gRPC face of rating: parse, do, answer."""
