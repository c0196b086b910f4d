"""Creating, changing, archiving and reading meters."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from libs import requests
from libs.db import begin
from libs.requests import Request
from libs.tenant import Tenant
from libs.wire import Page, fitting, page_token, parse_page_token
from services.rating.domain.meter import Meter
from services.rating.domain.meter_changes import check_changes, counts_anew
from services.rating.operations.command import begin_command
from services.rating.operations.meter_messages import meter_message
from services.rating.store import meters as store
from services.rating.store.catalog import change_catalog
from tally.rating.v1 import meter_service_pb2 as pb

LISTED_MAX = 100  # Each may have 256 KiB.


async def create_meter(
    engine: AsyncEngine, tenant: Tenant, request: Request, meter: Meter, *, validate_only: bool
) -> pb.CreateMeterResponse:
    """Add `meter`; it counts what is folded from now on.

    Raises:
        MeterCodeTaken: another meter has its code.
        RequestIdReused: the request came before with other content.
    """
    answer = pb.CreateMeterResponse(meter=meter_message(meter))
    async with begin_command(engine, tenant, validate_only=validate_only) as conn:
        if not validate_only:
            earlier = await requests.claim(conn, tenant, request, pb.CreateMeterResponse)
            if earlier is not None:
                return earlier
        await change_catalog(conn, tenant)
        await store.insert_meter(conn, tenant, meter)
        if not validate_only:
            await requests.save_answer(conn, tenant, request, answer)
    return answer


async def update_meter(
    engine: AsyncEngine, tenant: Tenant, request: Request, wanted: Meter, *, validate_only: bool
) -> pb.UpdateMeterResponse:
    """Make the meter of a code what is `wanted`, but for its id, age and whether it is archived.

    If it then counts something else, it starts anew: folds under way read the catalog again.

    Raises:
        MeterNotFound: there is none.
        MeterInUse: plan versions charge it, and would see other usage.
        RequestIdReused: the request came before with other content.
    """
    async with begin_command(engine, tenant, validate_only=validate_only) as conn:
        if not validate_only:
            earlier = await requests.claim(conn, tenant, request, pb.UpdateMeterResponse)
            if earlier is not None:
                return earlier
        await change_catalog(conn, tenant)
        old = await store.load_meter(conn, tenant, wanted.code, lock=True)
        new = replace(
            wanted,
            meter_id=old.meter_id,
            created_at=old.created_at,
            archived_at=old.archived_at,
            changed_at=old.changed_at,
        )
        if await store.is_charged(conn, tenant, old.code):
            check_changes(old, new)
        elif counts_anew(old, new):
            await store.forget_usage(conn, tenant, old)
            new = replace(new, changed_at=wanted.created_at)
        await store.update_meter(conn, tenant, new)
        answer = pb.UpdateMeterResponse(meter=meter_message(new))
        if not validate_only:
            await requests.save_answer(conn, tenant, request, answer)
    return answer


async def archive_meter(
    engine: AsyncEngine, tenant: Tenant, request: Request, code: str, *, now: datetime
) -> pb.ArchiveMeterResponse:
    """Let no new plan version charge a meter; one that is archived stays as it is.

    Raises:
        MeterNotFound: there is none.
        RequestIdReused: the request came before with other content.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.ArchiveMeterResponse)
        if earlier is not None:
            return earlier
        meter = await store.load_meter(conn, tenant, code, lock=True)
        if meter.archived_at is None:
            meter = replace(meter, archived_at=now)
            await store.update_meter(conn, tenant, meter)
        answer = pb.ArchiveMeterResponse(meter=meter_message(meter))
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def get_meter(engine: AsyncEngine, tenant: Tenant, code: str) -> pb.GetMeterResponse:
    """Return the meter with `code`."""
    async with begin(engine, tenant) as conn:
        return pb.GetMeterResponse(meter=meter_message(await store.load_meter(conn, tenant, code)))


async def list_meters(
    engine: AsyncEngine, tenant: Tenant, page: Page, *, archived: bool
) -> pb.ListMetersResponse:
    """Return a page of meters, by code: as many as were asked for and one answer holds."""
    keys = parse_page_token(page.token, str)
    after_code = str(keys[0]) if keys else ""
    size = min(page.size, LISTED_MAX)
    async with begin(engine, tenant) as conn:
        found = await store.list_meters(
            conn, tenant, after_code=after_code, archived=archived, limit=size + 1
        )
    shown = fitting([meter_message(meter) for meter in found[:size]])
    more = len(found) > len(shown)
    return pb.ListMetersResponse(
        meters=shown, next_page_token=page_token(shown[-1].code) if more else ""
    )
