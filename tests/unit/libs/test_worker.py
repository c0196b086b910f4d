"""Loops: they go on at once after work, rest without it, and outlive what a step raises."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from libs.errors import Unavailable
from libs.worker import Loop, retry_seconds
from tests.wait import until

HOUR = 3600.0


@asynccontextmanager
async def running(step: Callable[[], Awaitable[bool]]) -> AsyncIterator[Loop]:
    loop = Loop("test", step, poll_seconds=HOUR)
    stopping = asyncio.Event()
    task = asyncio.create_task(loop.run(stopping))
    try:
        yield loop
    finally:
        stopping.set()
        await asyncio.wait_for(task, 5)


async def test_a_step_that_worked_is_called_again_at_once() -> None:
    left = [True, True, False]

    async def step() -> bool:
        return left.pop(0)

    async with running(step) as loop:
        await until(lambda: not left)
        await until(lambda: loop.worked == 2)


async def test_a_kick_ends_the_rest() -> None:
    calls = 0

    async def step() -> bool:
        nonlocal calls
        calls += 1
        return False

    async with running(step) as loop:
        await until(lambda: calls == 1)
        loop.kick()
        await until(lambda: calls == 2)
        assert not loop.pending


async def test_a_kick_during_a_step_calls_for_another() -> None:
    calls = 0
    entered, leave = asyncio.Event(), asyncio.Event()

    async def step() -> bool:
        nonlocal calls
        calls += 1
        entered.set()
        await leave.wait()
        return False

    async with running(step) as loop:
        await entered.wait()
        loop.kick()
        assert loop.pending
        leave.set()
        await until(lambda: calls == 2)


async def test_an_error_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    outcomes: list[Exception | None] = [ValueError("ours"), Unavailable("away"), None]

    async def step() -> bool:
        if (error := outcomes.pop(0)) is not None:
            raise error
        return False

    async with running(step) as loop:
        await until(lambda: not outcomes and loop.failures == 0)
    assert [(one.levelno, one.exc_info is not None) for one in caplog.records] == [
        (logging.ERROR, True),
        (logging.WARNING, False),
    ]


async def test_stopping_lets_the_step_that_runs_end() -> None:
    entered, leave, ended = asyncio.Event(), asyncio.Event(), False

    async def step() -> bool:
        nonlocal ended
        entered.set()
        await leave.wait()
        ended = True
        return True

    stopping = asyncio.Event()
    task = asyncio.create_task(Loop("test", step).run(stopping))
    await entered.wait()
    stopping.set()
    assert not task.done()
    leave.set()
    await asyncio.wait_for(task, 5)
    assert ended


def test_failures_wait_ever_longer_but_not_above_two_seconds() -> None:
    assert [retry_seconds(count) for count in (1, 2, 3, 100)] == [0.05, 0.1, 0.2, 2.0]
