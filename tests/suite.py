"""What a test may do to a running suite: what a client or an operator of it could do."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cli.client import SuiteClient
from cli.running import public_scopes
from deploy.embedded.stack import Stack
from libs import testclock
from libs.auth import INTERNAL_SCOPE
from libs.wire import timestamp
from tally.internal.v1.test_clock_service_pb2 import SetTimeRequest


@dataclass(slots=True)
class Suite:
    """Four services as processes, with a test clock and databases of their own.

    Clients belong to the event loop of the test: make them within it.
    """

    stack: Stack
    _tenants: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def new_tenant(self) -> int:
        """Returns a tenant of which nothing is stored yet."""
        return next(self._tenants)

    def token(self, tenant: int | None, scopes: Sequence[str] | None = None) -> str:
        """Returns a token, by default with every scope but `internal`."""
        return self.stack.token(tenant, public_scopes() if scopes is None else scopes)

    def client(self, tenant: int, *, scopes: Sequence[str] | None = None) -> SuiteClient:
        """Returns a client of the tenant: `async with suite.client(tenant) as client`."""
        return SuiteClient(self.stack.addresses, token=self.token(tenant, scopes))

    def internal(self, tenant: int | None = None) -> SuiteClient:
        """Returns a client that speaks as a service of the suite, for `tenant` if one is given."""
        token = self.token(None, [INTERNAL_SCOPE])
        return SuiteClient(self.stack.addresses, token=token, tenant=tenant)

    def with_token(self, token: str) -> SuiteClient:
        """Returns a client that presents any token; none if it is empty."""
        return SuiteClient(self.stack.addresses, token=token)

    def database_url(self, service: str, role: str = "app") -> str:
        """Returns the URL of a service's database as "owner", "app" or "worker"."""
        return self.stack.url(service, role)

    async def advance(self, to: datetime, *, order: Sequence[str] = testclock.ORDER) -> None:
        """Moves the suite to `to`, doing all that falls due on the way.

        `order` is that in which the services learn of each instant.
        """
        async with self.internal() as client:
            await testclock.advance(client.clocks, to, order=order)

    async def set_time(self, to: datetime) -> None:
        """Moves all clocks to `to` at once, and waits for nothing."""
        async with self.internal() as client:
            for clock in client.clocks.values():
                await clock.SetTime(SetTimeRequest(now=timestamp(to)))

    async def settle(self, *, seconds: int = 60) -> None:
        """Waits until all that is due now is done."""
        async with self.internal() as client:
            await testclock.settle(client.clocks, deadline_seconds=seconds)

    async def refuses_to_settle(self, *, seconds: int) -> bool:
        """Tells whether the suite is still busy after `seconds`."""
        try:
            await self.settle(seconds=seconds)
        except testclock.NotIdle:
            return True
        return False
