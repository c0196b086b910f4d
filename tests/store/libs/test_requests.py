"""A command that comes twice takes effect once and gets its first answer again."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from libs import requests
from libs.db import begin
from libs.errors import Refused
from libs.requests import Request, RequestIdReused
from libs.tenant import Tenant
from tally.common.v1.money_pb2 import Money

TENANT = Tenant(1)


class Broke(Refused):
    reason = "INSUFFICIENT_BALANCE"


def a_request(digest: bytes = b"1") -> Request:
    return Request("test", uuid4(), digest)


async def answer(app: AsyncEngine, request: Request, amount: int) -> int:
    """Answer `amount` to a request, unless it was answered before."""
    async with begin(app, TENANT) as conn:
        earlier = await requests.claim(conn, TENANT, request, Money)
        if earlier is not None:
            return earlier.amount_minor
        await requests.save_answer(conn, TENANT, request, Money(amount_minor=amount))
        return amount


async def test_a_repeat_gets_the_first_answer(app: AsyncEngine) -> None:
    request = a_request()
    assert [await answer(app, request, amount) for amount in (1, 2)] == [1, 1]


async def test_of_many_callers_at_once_one_takes_effect(app: AsyncEngine) -> None:
    request = a_request()
    answers = await asyncio.gather(*(answer(app, request, amount) for amount in range(1, 51)))
    assert len(set(answers)) == 1


async def test_other_content_under_the_same_id_is_refused(app: AsyncEngine) -> None:
    request = a_request(b"1")
    await answer(app, request, 1)
    with pytest.raises(RequestIdReused):
        await answer(app, Request(request.method, request.request_id, b"2"), 1)


async def test_a_refusal_leaves_the_id_free(app: AsyncEngine) -> None:
    request = a_request()
    with pytest.raises(Broke):
        async with begin(app, TENANT) as conn:
            assert await requests.claim(conn, TENANT, request, Money) is None
            raise Broke("not now")
    assert await answer(app, request, 7) == 7


async def test_tenants_do_not_share_ids(app: AsyncEngine) -> None:
    request = a_request()
    await answer(app, request, 1)
    async with begin(app, Tenant(2)) as conn:
        assert await requests.claim(conn, Tenant(2), request, Money) is None
        await requests.save_answer(conn, Tenant(2), request, Money())
