"""Creating, archiving and reading plans and their versions."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import requests
from libs.db import begin
from libs.requests import Request
from libs.tenant import Tenant
from libs.wire import Page, fitting, page_token, parse_page_token
from services.rating.domain.commitment import check_commitment
from services.rating.domain.fixed_fees import check_fixed_charges
from services.rating.domain.plan import Plan, PlanVersion, check_base_amount, check_charges
from services.rating.operations.command import begin_command
from services.rating.operations.messages import plan_message, version_message
from services.rating.store import plans as store
from services.rating.store.meters import load_meters
from tally.rating.v1 import plan_service_pb2 as pb

LISTED_MAX = 50  # Each may have a mebibyte.


async def create_plan(
    engine: AsyncEngine,
    tenant: Tenant,
    request: Request,
    *,
    plan: Plan,
    version: PlanVersion,
    validate_only: bool,
) -> pb.CreatePlanResponse:
    """Add `plan` with its first version.

    Raises:
        FieldInvalid: the base fee, or a fixed charge, is too large.
        MeterUnknown, MeterArchived: a charge's meter does not exist, or is archived.
        FieldsInvalid: a filter does not fit its meter.
        PlanCodeTaken: another plan has the code.
        RequestIdReused: the request came before with other content.
    """
    answer = pb.CreatePlanResponse(plan=plan_message(plan), version=version_message(version))
    async with begin_command(engine, tenant, validate_only=validate_only) as conn:
        if not validate_only:
            earlier = await requests.claim(conn, tenant, request, pb.CreatePlanResponse)
            if earlier is not None:
                return earlier
        await _check(conn, tenant, plan, version)
        await store.insert_plan(conn, tenant, plan)
        await store.insert_version(conn, tenant, plan.code, version)
        if not validate_only:
            await requests.save_answer(conn, tenant, request, answer)
    return answer


async def create_version(
    engine: AsyncEngine,
    tenant: Tenant,
    request: Request,
    *,
    plan_code: str,
    version: PlanVersion,
    validate_only: bool,
) -> pb.CreatePlanVersionResponse:
    """Add `version` to a plan under the next number; subscriptions stay on what they have.

    Raises:
        PlanNotFound: there is no such plan.
        PlanArchived: it takes no new versions.
        FieldInvalid, MeterUnknown, MeterArchived, FieldsInvalid, RequestIdReused: as for
            `create_plan`.
    """
    async with begin_command(engine, tenant, validate_only=validate_only) as conn:
        if not validate_only:
            earlier = await requests.claim(conn, tenant, request, pb.CreatePlanVersionResponse)
            if earlier is not None:
                return earlier
        plan = await store.lock_plan(conn, tenant, plan_code)
        plan.check_open()
        await _check(conn, tenant, plan, version)
        newest = await store.load_newest_version(conn, tenant, plan_code)
        numbered = replace(version, version=newest + 1)
        await store.insert_version(conn, tenant, plan.code, numbered)
        answer = pb.CreatePlanVersionResponse(version=version_message(numbered))
        if not validate_only:
            await requests.save_answer(conn, tenant, request, answer)
    return answer


async def archive_plan(
    engine: AsyncEngine, tenant: Tenant, request: Request, code: str, *, now: datetime
) -> pb.ArchivePlanResponse:
    """Let a plan take no new subscriptions and versions; one that is archived stays as it is.

    Raises:
        PlanNotFound: there is no such plan.
        RequestIdReused: the request came before with other content.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.ArchivePlanResponse)
        if earlier is not None:
            return earlier
        plan = await store.lock_plan(conn, tenant, code)
        if plan.archived_at is None:
            plan = replace(plan, archived_at=now)
            await store.archive_plan(conn, tenant, code, now)
        answer = pb.ArchivePlanResponse(plan=plan_message(plan))
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def get_plan(
    engine: AsyncEngine, tenant: Tenant, code: str, version: int
) -> pb.GetPlanResponse:
    """Return a plan with its version number `version`, 0 for the newest."""
    async with begin(engine, tenant) as conn:
        plan, found = await store.load_plan(conn, tenant, code, version)
    return pb.GetPlanResponse(plan=plan_message(plan), version=version_message(found))


async def list_plans(
    engine: AsyncEngine, tenant: Tenant, page: Page, *, archived: bool
) -> pb.ListPlansResponse:
    """Return a page of plans by code, each with its newest version, as far as an answer holds."""
    keys = parse_page_token(page.token, str)
    after_code = str(keys[0]) if keys else ""
    size = min(page.size, LISTED_MAX)
    async with begin(engine, tenant) as conn:
        found = await store.list_plans(
            conn, tenant, after_code=after_code, archived=archived, limit=size + 1
        )
    entries = [
        pb.PlanEntry(plan=plan_message(plan), version=version_message(version))
        for plan, version in found[:size]
    ]
    shown = fitting(entries)
    more = len(found) > len(shown)
    return pb.ListPlansResponse(
        plans=shown, next_page_token=page_token(shown[-1].plan.code) if more else ""
    )


async def _check(conn: AsyncConnection, tenant: Tenant, plan: Plan, version: PlanVersion) -> None:
    check_base_amount(version, plan.currency)
    check_fixed_charges(version, plan.currency)
    check_commitment(version, plan.currency)
    codes = {charge.meter_code for charge in version.charges}
    check_charges(version.charges, await load_meters(conn, tenant, codes, hold=True))
