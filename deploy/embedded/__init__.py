"""The suite on one machine: PostgreSQL and NATS from wheels, the four services as processes."""
