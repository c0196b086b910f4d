"""Whose requests go into the next group: tenants take turns, so that none waits for a flood."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from typing import Generic, TypeVar

from libs.tenant import Tenant

Waiting = TypeVar("Waiting")

GROUP_EVENTS_MAX = 10_000
GROUP_BYTES_MAX = 4 * 1024 * 1024
LIGHT_EVENTS_MAX = 1_000  # Of a group that is sealed beside large ones.
LIGHT_BYTES_MAX = GROUP_BYTES_MAX // 8


class Turns(Generic[Waiting]):
    """Requests that wait, by tenant. `load` gives the events and bytes of one."""

    def __init__(self, load: Callable[[Waiting], tuple[int, int]]) -> None:
        self._load = load
        self._queues: dict[Tenant, deque[Waiting]] = {}
        self._of: Counter[Tenant] = Counter()  # Events.
        self.events = 0
        self._bytes = 0

    @property
    def fills_a_group(self) -> bool:
        """Whether waiting longer could not make the next group any larger."""
        return self.events >= GROUP_EVENTS_MAX or self._bytes >= GROUP_BYTES_MAX

    def add(self, tenant: Tenant, waiting: Waiting) -> None:
        """Queue a request behind the others of its tenant."""
        self._queues.setdefault(tenant, deque()).append(waiting)
        self._count(tenant, waiting, 1)

    def take_group(self) -> list[Waiting]:
        """Take requests until the group is full or nobody waits.

        The next one is always of the tenant of which it has the fewest events: a tenant that sends
        little gets all of its requests in beside one of a tenant that sends much. At most 10,000
        events and 4 MiB; a request above that is a group of its own. Who was served last comes
        last in the next group.

        Tenants of which few events wait make a group of their own while more of others do: it is
        done long before a large one would be.
        """
        light = self._light()
        if light and len(light) < len(self._queues):
            return self.take_light_group()
        return self._take(self._queues, GROUP_EVENTS_MAX, GROUP_BYTES_MAX)

    def take_light_group(self) -> list[Waiting]:
        """Take requests of tenants of which few events wait, until there are 1,000 of them."""
        return self._take(self._light(), LIGHT_EVENTS_MAX, LIGHT_BYTES_MAX)

    def _light(self) -> list[Tenant]:
        return [one for one in self._queues if self._of[one] <= LIGHT_EVENTS_MAX]

    def _take(self, tenants: Iterable[Tenant], events_max: int, bytes_max: int) -> list[Waiting]:
        group: list[Waiting] = []
        events = size = 0
        shares = [(0, place, tenant) for place, tenant in enumerate(tenants)]  # Sorted, so a heap.
        while shares:
            share, place, tenant = heappop(shares)
            queue = self._queues[tenant]
            more_events, more_bytes = self._load(queue[0])
            full = events + more_events > events_max or size + more_bytes > bytes_max
            if group and full:
                break  # Who has nothing in the group comes first in the next one.
            events, size = events + more_events, size + more_bytes
            group.append(queue.popleft())
            self._count(tenant, group[-1], -1)
            del self._queues[tenant]
            if queue:
                self._queues[tenant] = queue
                heappush(shares, (share + more_events, place, tenant))
            else:
                del self._of[tenant]
        return group

    def _count(self, tenant: Tenant, waiting: Waiting, sign: int) -> None:
        events, size = self._load(waiting)
        self._of[tenant] += sign * events
        self.events += sign * events
        self._bytes += sign * size
