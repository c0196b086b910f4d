"""Reading the plan versions that are to be tried, and checking them before anything is priced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.errors import FieldInvalid
from libs.tenant import Tenant
from libs.wire import Faults
from services.rating.domain.fixed_fees import check_fixed_charges
from services.rating.domain.meter import Meter, MeterArchived, MeterUnknown
from services.rating.domain.plan import (
    PlanNotFound,
    PlanVersionNotFound,
    check_base_amount,
    check_charges,
)
from services.rating.domain.simulation import (
    Candidate,
    CurrencyMismatch,
    StoredVersion,
    check_comparable,
)
from services.rating.store import simulation as store
from services.rating.store.meters import load_meters
from services.rating.store.simulation import Selection


async def load_candidates(
    conn: AsyncConnection,
    tenant: Tenant,
    wanted: Sequence[StoredVersion | Candidate],
    selection: Selection,
) -> list[Candidate]:
    """Return what is `wanted`, at least one, in its order, once all that is selected can have it.

    Raises:
        PlanNotFound, PlanVersionNotFound: some are not there; the message names all of them.
        MeterUnknown, MeterArchived: a charge that is not stored has no meter.
        FieldInvalid, FieldsInvalid: charges do not fit their meters, candidates differ in currency
            or interval, or a subscription is billed by another interval.
        CurrencyMismatch: a subscription is billed in another currency.
    """
    stored = [one for one in wanted if isinstance(one, StoredVersion)]
    found = await store.find_candidates(conn, tenant, stored) if stored else {}
    _check_found(wanted, found)
    candidates = [found[one] if isinstance(one, StoredVersion) else one for one in wanted]
    made = {place: one for place, one in enumerate(wanted) if isinstance(one, Candidate)}
    codes = {charge.meter_code for one in made.values() for charge in one.version.charges}
    meters = await load_meters(conn, tenant, codes) if codes else {}
    faults = Faults()
    with faults.gathered():
        check_comparable(candidates)
    for place, candidate in made.items():
        _check_prices(faults, f"candidates[{place}]", candidate, meters)
    faults.check()
    await _check_selected(conn, tenant, candidates[0], selection)
    return candidates


def _check_found(
    wanted: Sequence[StoredVersion | Candidate], found: Mapping[StoredVersion, Candidate]
) -> None:
    plans, versions = [], []
    for place, one in enumerate(wanted):
        if isinstance(one, Candidate) or one in found:
            continue
        if StoredVersion(one.plan_code, 0) in found:
            problem = f"the plan {one.plan_code} has no version {one.version}"
            versions.append(f"candidates[{place}].plan_version: {problem}")
        else:
            plans.append(f"candidates[{place}].plan_code: no plan {one.plan_code}")
    missing = "; ".join([*plans, *versions])
    if plans:
        raise PlanNotFound(missing)
    if versions:
        raise PlanVersionNotFound(missing)


def _check_prices(
    faults: Faults, path: str, candidate: Candidate, meters: Mapping[str, Meter]
) -> None:
    version, currency = candidate.version, candidate.currency
    with faults.gathered(path):
        check_base_amount(version, currency)
    with faults.gathered(path):
        check_fixed_charges(version, currency)
    try:
        with faults.gathered(path):
            check_charges(version.charges, meters)
    except (MeterUnknown, MeterArchived) as error:
        raise type(error)(f"{path}.{error}", metadata=error.metadata) from None


async def _check_selected(
    conn: AsyncConnection, tenant: Tenant, candidate: Candidate, selection: Selection
) -> None:
    """Check that all that is selected is billed as `candidate` is, and with it the others."""
    interval = candidate.version.interval
    other = await store.find_other(
        conn, tenant, selection, currency=candidate.currency, interval=interval
    )
    if other is None:
        return
    subscription_id, currency, own = other
    if currency != candidate.currency:
        problem = f"{subscription_id} is billed in {currency}, not in {candidate.currency}"
        raise CurrencyMismatch(problem, metadata={"subscription_id": subscription_id})
    problem = f"are priced by {interval}; {subscription_id} is billed by {own}"
    raise FieldInvalid("candidates", problem)
