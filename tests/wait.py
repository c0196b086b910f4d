"""Waiting in tests: for a condition, never for a length of time."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast, overload

POLL_SECONDS = 0.02

Found = TypeVar("Found")


@overload
async def until(
    condition: Callable[[], Awaitable[Found]],
    *,
    seconds: float = ...,
    describe: str | Callable[[], object] = ...,
) -> Found: ...
@overload
async def until(
    condition: Callable[[], Found],
    *,
    seconds: float = ...,
    describe: str | Callable[[], object] = ...,
) -> Found: ...
async def until(
    condition: Callable[[], Found | Awaitable[Found]],
    *,
    seconds: float = 20.0,
    describe: str | Callable[[], object] = "the condition",
) -> Found:
    """Return what `condition` gives, as soon as that is true.

    `condition` may be a coroutine function. It is asked every 20 ms, at least once, and once
    more after the deadline. An AssertionError of its own counts as "not yet", so a condition
    may consist of asserts, ending in `return True`.
    `describe` says what was waited for; a callable is asked only when the time is up, to show
    how things stand then.

    Raises:
        AssertionError: the condition did not become true within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while True:
        late = time.monotonic() >= deadline
        failure: AssertionError | None = None
        found: Found | None = None
        try:
            answer = condition()
            found = cast(Found, await answer if inspect.isawaitable(answer) else answer)
        except AssertionError as error:
            failure = error
        if found:
            return found
        if late:
            wanted = describe() if callable(describe) else describe
            last = failure if failure is not None else repr(found)
            raise AssertionError(f"waited {seconds:g} s for {wanted}; last: {last}") from failure
        await asyncio.sleep(POLL_SECONDS)
