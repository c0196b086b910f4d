"""The gRPC methods: parse, do, answer."""
