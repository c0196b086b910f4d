"""Checking entitlements: what of many features many customers may use, in one set of statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.db import begin
from libs.tenant import Tenant
from services.rating.domain.entitlement import (
    Entitlement,
    Feature,
    Override,
    Value,
    overridden,
)
from services.rating.domain.metered_limit import (
    Checked,
    Reason,
    Standing,
    most_generous,
)
from services.rating.operations.entitlement_messages import (
    REASONS,
    standing_message,
    value_messages,
)
from services.rating.operations.metered_use import Asked, Key, load_standings
from services.rating.store import entitlements as store
from services.rating.store.entitled import Active, find_active
from services.rating.store.meters import load_meters
from tally.rating.v1 import entitlement_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose entitlements are asked for: those of a customer or, if it is named, a subscription."""

    customer_id: str = ""
    subscription_id: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """Asks each of `features`, by code, of each of `subjects`, for so many units more."""

    subjects: Sequence[Subject]
    feature_codes: Sequence[str]
    wanted: Decimal
    omit_privileges: bool = False


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What answers need. Entitlements are by plan and by subscription uid, then by feature."""

    features: Mapping[str, Feature]
    of_plans: Mapping[str, Mapping[str, Entitlement]]
    overrides: Mapping[UUID, Mapping[str, Override]]
    standings: Mapping[Key, Standing]

    def entitlement(self, active: Active, feature_code: str) -> Entitlement | None:
        """Return what a subscription has of a feature."""
        subscription = active.subscription
        own = self.overrides[subscription.subscription_uid]
        of_plan = self.of_plans[subscription.plan_code].get(feature_code)
        return overridden(of_plan, own.get(feature_code)) if own else of_plan


async def check_entitlements(
    engine: AsyncEngine, tenant: Tenant, question: Question, *, now: datetime
) -> list[list[pb.EntitlementCheck]]:
    """Return the answers by subject and feature, in the order of `question`.

    Raises:
        FeatureNotFound: there is no such feature.
    """
    async with begin(engine, tenant) as conn:
        active = await find_active(
            conn,
            tenant,
            customer_ids={one.customer_id for one in question.subjects} - {""},
            subscription_ids={one.subscription_id for one in question.subjects} - {""},
            now=now,
        )
        loaded = await _load(conn, tenant, question, active, now)
    by_subject: dict[Subject, list[Active]] = {}
    for one in active:
        by_subject.setdefault(Subject(customer_id=one.subscription.customer_id), []).append(one)
        named = Subject(subscription_id=one.subscription.subscription_id)
        by_subject.setdefault(named, []).append(one)
    writer = _Writer(loaded, question)
    features = [loaded.features[code] for code in question.feature_codes]
    return [
        [writer.answer(feature, by_subject.get(subject, ())) for feature in features]
        for subject in question.subjects
    ]


async def _load(
    conn: AsyncConnection,
    tenant: Tenant,
    question: Question,
    active: Sequence[Active],
    now: datetime,
) -> _Loaded:
    features = await store.load_features(conn, tenant, set(question.feature_codes))
    plan_codes = {one.subscription.plan_code for one in active}
    uids = {one.subscription.subscription_uid for one in active}
    of_plans = await store.load_of_plans(conn, tenant, plan_codes)
    overrides = await store.load_overrides(conn, tenant, uids)
    known = _Loaded(features, of_plans, overrides, {})
    codes = {one.meter_code for one in features.values()} - {""}
    meters = await load_meters(conn, tenant, codes) if codes else {}
    asked = [
        Asked(one, given.limit, meters[feature.meter_code])
        for one in active
        for feature in features.values()
        if feature.meter_code
        and (given := known.entitlement(one, feature.code)) is not None
        and given.limit is not None
    ]
    standings = await load_standings(conn, tenant, asked, now)
    return _Loaded(features, of_plans, overrides, standings)


@dataclass(slots=True)
class _Writer:
    """Writes answers; what is the same in many is made once."""

    loaded: _Loaded
    question: Question
    _common: dict[tuple[str, str], pb.EntitlementCheck] = field(default_factory=dict)
    _standings: dict[Key, pb.EntitlementCheck] = field(default_factory=dict)
    _values: dict[tuple[str, str], list[pb.PrivilegeValue]] = field(default_factory=dict)

    def answer(self, feature: Feature, active: Sequence[Active]) -> pb.EntitlementCheck:
        """Return what the active subscriptions of a subject allow of `feature`."""
        loaded, wanted = self.loaded, self.question.wanted
        if len(active) == 1 and (common := self._unlimited(feature, active[0])) is not None:
            return common
        given = [(one, has) for one in active if (has := loaded.entitlement(one, feature.code))]
        if not given:
            reason = Reason.NOT_ENTITLED if active else Reason.NO_SUBSCRIPTION
            return pb.EntitlementCheck(reason=REASONS[reason])
        checked = [self._checked(feature, one, has) for one, has in given]
        place = checked.index(most_generous(checked, wanted)) if len(checked) > 1 else 0
        chosen, (active_one, has) = checked[place], given[place]
        allowed, reason = chosen.decide(wanted)
        answer = pb.EntitlementCheck(allowed=allowed, reason=REASONS[reason])
        if chosen.standing is not None:
            answer.subscription_id = chosen.subscription_id
            answer.MergeFrom(self._standing(_key(feature, active_one, has), chosen.standing))
        if feature.privileges and not self.question.omit_privileges:
            answer.privileges.extend(self._privileges(feature, given))
        return answer

    def _unlimited(self, feature: Feature, active: Active) -> pb.EntitlementCheck | None:
        """Return what all subscriptions of a plan are answered that have no more than it gives.

        None: this one has a limit, or differs, or has not got the feature.
        """
        plan_code = active.subscription.plan_code
        has = self.loaded.of_plans[plan_code].get(feature.code)
        own = self.loaded.overrides[active.subscription.subscription_uid]
        if has is None or has.limit is not None or feature.code in own:
            return None
        known = (plan_code, feature.code)
        if known not in self._common:
            values = {} if self.question.omit_privileges else _values(feature, [has])
            reason = REASONS[Reason.ENTITLED]
            common = pb.EntitlementCheck(allowed=True, reason=reason)
            common.privileges.extend(value_messages(values))
            self._common[known] = common
        return self._common[known]

    def _checked(self, feature: Feature, active: Active, has: Entitlement) -> Checked:
        standing = None
        if has.limit is not None:
            standing = self.loaded.standings[_key(feature, active, has)]
        return Checked(active.subscription.subscription_id, standing)

    def _standing(self, key: Key, standing: Standing) -> pb.EntitlementCheck:
        if key not in self._standings:
            self._standings[key] = standing_message(standing)
        return self._standings[key]

    def _privileges(
        self, feature: Feature, given: Sequence[tuple[Active, Entitlement]]
    ) -> list[pb.PrivilegeValue]:
        active, has = given[0]
        plan_code = active.subscription.plan_code
        if len(given) > 1 or has is not self.loaded.of_plans[plan_code].get(feature.code):
            return value_messages(_values(feature, [has for _, has in given]))
        known = (plan_code, feature.code)
        if known not in self._values:
            self._values[known] = value_messages(_values(feature, [has]))
        return self._values[known]


def _key(feature: Feature, active: Active, has: Entitlement) -> Key:
    assert has.limit is not None, "without a limit there is no standing"
    return active.subscription.subscription_uid, feature.meter_code, has.limit


def _values(feature: Feature, given: Sequence[Entitlement]) -> dict[str, Value]:
    """Return the most generous value of each privilege that has one, in the feature's order."""
    found: dict[str, Value] = {}
    for privilege in feature.privileges:
        values = [one.values[privilege.code] for one in given if privilege.code in one.values]
        if values:
            found[privilege.code] = privilege.most_generous(values)
    return found
