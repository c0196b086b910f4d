"""The tenant: whose data it is. The first column of every key."""

from typing import NewType

Tenant = NewType("Tenant", int)

TENANT_MAX = 2**31 - 1  # Tenants are int4 in the tables and int32 in the contracts.
