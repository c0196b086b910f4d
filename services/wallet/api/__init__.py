"""gRPC methods of the wallet: parse, do, answer."""
