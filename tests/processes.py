"""More processes of a service of a running suite, beside the one that it has."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from deploy.embedded.environment import Ports
from deploy.embedded.ports import choose_port
from deploy.embedded.service import Service
from deploy.embedded.stack import Stack

START_SECONDS = 60.0


@contextmanager
def more_processes(
    stack: Stack, name: str, count: int, *, extra_env: Mapping[int, Mapping[str, str]] | None = None
) -> Iterator[list[str]]:
    """Run `count` more processes of a service on its database; gives their addresses.

    `extra_env` is what each of them, from 0, is told beside what the suite's own one is.
    """
    of_each = extra_env or {}
    with ExitStack() as running:
        started = [_twin(stack.services[name], place) for place in range(count)]
        for place, service in enumerate(started):
            running.callback(service.stop)
            service.start(of_each.get(place))
        until = time.monotonic() + START_SECONDS
        for service in started:
            service.await_serving(until)
        yield [service.address for service in started]


def _twin(service: Service, place: int) -> Service:
    ports = Ports(choose_port(), choose_port())
    prefix = service.name.upper()
    listening = {
        f"{prefix}_LISTEN_ADDRESS": ports.address,
        f"{prefix}_METRICS_ADDRESS": ports.metrics_address,
    }
    return replace(
        service,
        address=ports.address,
        metrics_address=ports.metrics_address,
        log=service.log.with_name(f"{service.name}-{place + 2}.jsonl"),
        environment={**service.environment, **listening},
        process=None,
    )
