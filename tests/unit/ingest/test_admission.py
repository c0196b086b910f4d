"""Who may wait: each tenant as much as is still free, calls refused, streams in line."""

from __future__ import annotations

import asyncio

import pytest

from libs.tenant import Tenant
from services.ingest.operations.admission import REQUEST_BYTES, Admission, IngestBusy, Load, Shares

ONE, TWO, THREE = Tenant(1), Tenant(2), Tenant(3)


def fill(shares: Shares, tenant: Tenant) -> int:
    """Take places one by one as long as one fits; return how many there were."""
    count = 0
    while shares.fits(tenant, 1):
        shares.take(tenant, 1)
        count += 1
    return count


def test_a_tenant_may_have_as_much_as_is_left_for_others() -> None:
    shares = Shares(100)
    assert fill(shares, ONE) == 50
    assert fill(shares, TWO) == 25
    assert fill(shares, THREE) == 13
    shares.give_back(ONE, 50)
    assert fill(shares, ONE) == 31  # Of 62 that are free.


def test_a_tenant_that_has_nothing_gets_something_in_however_large() -> None:
    shares = Shares(10)
    shares.take(ONE, 5)
    assert not shares.fits(ONE, 1)
    assert shares.fits(TWO, 20)
    shares.take(TWO, 20)
    assert not shares.fits(THREE, 1)
    shares.give_back(TWO, 20)
    shares.give_back(ONE, 5)
    assert shares.taken == 0 and shares.fits(ONE, 20)


@pytest.mark.parametrize(
    "large", [Load(81, 0), Load(1, 14 * REQUEST_BYTES)], ids=["events", "bytes"]
)
def test_a_call_above_its_tenants_part_is_refused_and_told_when_to_come_again(large: Load) -> None:
    admission = Admission(events_max=100, bytes_max=16 * REQUEST_BYTES)
    admission.enter(ONE, Load(10, 0))
    with pytest.raises(IngestBusy) as caught:
        admission.enter(ONE, large)
    assert caught.value.reason == "INGEST_BUSY" and caught.value.retry_after == 1.0
    admission.enter(TWO, Load(10, 0))
    admission.leave(ONE, Load(10, 0))
    admission.leave(TWO, Load(10, 0))
    admission.enter(ONE, large)


async def test_streams_leave_room_for_the_calls_of_their_tenant() -> None:
    admission = Admission(events_max=90)
    for _ in range(3):
        await admission.enter_later(ONE, Load(10, 0))
    waiting = asyncio.create_task(admission.enter_later(ONE, Load(10, 0)))
    assert not await is_done(waiting)
    admission.enter(ONE, Load(10, 0))
    for _ in range(2):
        admission.leave(ONE, Load(10, 0))
    async with asyncio.timeout(5):
        await waiting


async def test_small_batches_do_not_keep_a_large_one_out() -> None:
    admission, entered = Admission(events_max=90), []

    async def enter(name: str, events: int) -> None:
        await admission.enter_later(ONE, Load(events, 0))
        entered.append(name)

    for _ in range(3):
        await admission.enter_later(ONE, Load(10, 0))
    later = [asyncio.create_task(enter("large", 25)), asyncio.create_task(enter("small", 1))]
    admission.leave(ONE, Load(10, 0))
    assert not await is_done(*later)  # The small one would fit.
    assert entered == []
    for _ in range(2):
        admission.leave(ONE, Load(10, 0))
    async with asyncio.timeout(5):
        await asyncio.gather(*later)
    assert entered == ["large", "small"]


async def test_a_stream_that_gives_up_in_line_lets_the_next_one_pass() -> None:
    admission = Admission(events_max=90)
    for _ in range(3):
        await admission.enter_later(ONE, Load(10, 0))
    gone = asyncio.create_task(admission.enter_later(ONE, Load(25, 0)))
    next_one = asyncio.create_task(admission.enter_later(ONE, Load(5, 0)))
    assert not await is_done(gone, next_one)
    gone.cancel()
    admission.leave(ONE, Load(10, 0))
    async with asyncio.timeout(5):
        await next_one
    assert gone.cancelled()


async def is_done(*tasks: asyncio.Task[None]) -> bool:
    """Tell whether one of the tasks has ended, after all could go on for a while."""
    done, _ = await asyncio.wait(tasks, timeout=0.02, return_when=asyncio.FIRST_COMPLETED)
    return bool(done)
