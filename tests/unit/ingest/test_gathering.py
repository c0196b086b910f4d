"""A group waits for callers who are on their way, and for nobody else."""

from __future__ import annotations

import asyncio

import pytest

from services.ingest.operations import gathering
from services.ingest.operations.gathering import Gathering


async def answered(*, callers: int) -> Gathering:
    """Return what has seen a group of so many callers, all of which have their answers."""
    group = Gathering()
    for _ in range(callers):
        group.come()
    await group.gather(full=False)
    for _ in range(callers):
        group.leave()
    return group


def ends_at_once(group: Gathering, *, full: bool = False) -> bool:
    """Tell whether gathering ends without a moment's wait."""
    waiting = group.gather(full=full)
    try:
        waiting.send(None)
    except StopIteration:
        return True
    waiting.close()
    return False


async def test_a_lone_caller_waits_for_nobody() -> None:
    group = await answered(callers=1)
    group.come()
    assert ends_at_once(group)


async def test_a_full_group_waits_for_nobody() -> None:
    group = await answered(callers=3)
    group.come()
    assert ends_at_once(group, full=True)


async def test_who_was_there_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "QUIET_SECONDS", 60)
    group = await answered(callers=3)
    group.come()
    waiting = asyncio.create_task(group.gather(full=False))
    group.come()
    await asyncio.wait([waiting], timeout=0.01)
    assert not waiting.done() and group.waits == 1
    group.come()
    async with asyncio.timeout(5):
        await waiting
    assert group.waits == 0


async def test_who_comes_while_a_group_is_sealed_is_waited_for_with_it() -> None:
    group = Gathering()
    group.come()
    await group.gather(full=False)
    group.come()
    group.leave()
    assert not ends_at_once(group)


async def test_who_stays_away_is_not_waited_for_long() -> None:
    group = await answered(callers=2)
    group.come()
    async with asyncio.timeout(5):
        await group.gather(full=False)
    group.leave()
    group.come()
    assert ends_at_once(group)


async def test_a_group_that_becomes_full_waits_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "QUIET_SECONDS", 60)
    group = await answered(callers=3)
    group.come()
    waiting = asyncio.create_task(group.gather(full=False))
    await asyncio.wait([waiting], timeout=0.01)
    group.fill()
    async with asyncio.timeout(5):
        await waiting
