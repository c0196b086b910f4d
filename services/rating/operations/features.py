"""Creating, archiving and reading features."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from libs import requests
from libs.db import begin
from libs.requests import Request
from libs.tenant import Tenant
from libs.wire import Page, fitting, page_token, parse_page_token
from services.rating.domain.entitlement import Feature, check_meter
from services.rating.domain.meter import MeterArchived, MeterNotFound
from services.rating.operations.entitlement_messages import feature_message
from services.rating.store import entitlements as store
from services.rating.store.meters import load_meters
from tally.rating.v1 import entitlement_service_pb2 as pb


async def create_feature(
    engine: AsyncEngine, tenant: Tenant, request: Request, feature: Feature
) -> pb.CreateFeatureResponse:
    """Add `feature`.

    Raises:
        MeterNotFound, MeterArchived, FieldInvalid: its meter cannot count its use.
        FeatureCodeTaken: another feature has its code.
        RequestIdReused: the request came before with other content.
    """
    answer = pb.CreateFeatureResponse(feature=feature_message(feature))
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.CreateFeatureResponse)
        if earlier is not None:
            return earlier
        if feature.meter_code:
            found = await load_meters(conn, tenant, [feature.meter_code], hold=True)
            if feature.meter_code not in found:
                raise MeterNotFound(f"no meter {feature.meter_code}")
            meter = found[feature.meter_code]
            if meter.archived_at is not None:
                problem = f"{meter.code} is archived"
                raise MeterArchived(problem, metadata={"meter_code": meter.code})
            check_meter(meter, "feature.meter_code")
        await store.insert_feature(conn, tenant, feature)
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def archive_feature(
    engine: AsyncEngine, tenant: Tenant, request: Request, code: str, *, now: datetime
) -> pb.ArchiveFeatureResponse:
    """Let nobody be given a feature any more; one that is archived stays as it is.

    Raises:
        FeatureNotFound: there is none.
        RequestIdReused: the request came before with other content.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.ArchiveFeatureResponse)
        if earlier is not None:
            return earlier
        feature = await store.load_feature(conn, tenant, code, lock=True)
        if feature.archived_at is None:
            feature = replace(feature, archived_at=now)
            await store.archive_feature(conn, tenant, feature)
        answer = pb.ArchiveFeatureResponse(feature=feature_message(feature))
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def get_feature(engine: AsyncEngine, tenant: Tenant, code: str) -> pb.GetFeatureResponse:
    """Return the feature with `code`."""
    async with begin(engine, tenant) as conn:
        feature = await store.load_feature(conn, tenant, code)
    return pb.GetFeatureResponse(feature=feature_message(feature))


async def list_features(
    engine: AsyncEngine, tenant: Tenant, page: Page, *, archived: bool
) -> pb.ListFeaturesResponse:
    """Return a page of features, by code: as many as were asked for and one answer holds."""
    keys = parse_page_token(page.token, str)
    after_code = str(keys[0]) if keys else ""
    async with begin(engine, tenant) as conn:
        found = await store.list_features(
            conn, tenant, after_code=after_code, archived=archived, limit=page.size + 1
        )
    shown = fitting([feature_message(one) for one in found[: page.size]])
    more = len(found) > len(shown)
    return pb.ListFeaturesResponse(
        features=shown, next_page_token=page_token(shown[-1].code) if more else ""
    )
