"""Whose requests go into the next group: tenants take turns, so that none waits for a flood."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from libs.tenant import Tenant

Waiting = TypeVar("Waiting")

GROUP_EVENTS_MAX = 10_000
GROUP_BYTES_MAX = 4 * 1024 * 1024


class Turns(Generic[Waiting]):
    """Requests that wait, by tenant. `load` gives the events and bytes of one."""

    def __init__(self, load: Callable[[Waiting], tuple[int, int]]) -> None:
        self._load = load
        self._queues: dict[Tenant, deque[Waiting]] = {}
        self.events = 0
        self._bytes = 0

    @property
    def fills_a_group(self) -> bool:
        """Whether waiting longer could not make the next group any larger."""
        return self.events >= GROUP_EVENTS_MAX or self._bytes >= GROUP_BYTES_MAX

    def add(self, tenant: Tenant, waiting: Waiting) -> None:
        """Queue a request behind the others of its tenant."""
        self._queues.setdefault(tenant, deque()).append(waiting)
        self._count(waiting, 1)

    def take_group(self) -> list[Waiting]:
        """Take one request of each tenant in turn, until the group is full or nobody waits.

        At most 10,000 events and 4 MiB; a request above that is a group of its own. Who was
        served last comes last in the next group.
        """
        group: list[Waiting] = []
        events = size = 0
        while self._queues:
            tenant = next(iter(self._queues))
            queue = self._queues.pop(tenant)
            more_events, more_bytes = self._load(queue[0])
            full = events + more_events > GROUP_EVENTS_MAX or size + more_bytes > GROUP_BYTES_MAX
            if group and full:
                self._queues = {tenant: queue, **self._queues}  # Its turn is still to come.
                break
            events, size = events + more_events, size + more_bytes
            group.append(queue.popleft())
            self._count(group[-1], -1)
            if queue:
                self._queues[tenant] = queue
        return group

    def _count(self, waiting: Waiting, sign: int) -> None:
        events, size = self._load(waiting)
        self.events += sign * events
        self._bytes += sign * size
