"""Reading plan versions: every fault of one is found at once, by field path."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import uuid4

from libs.errors import FieldsInvalid
from libs.wire import Faults, check_codes, check_size, parse_code, parse_enum, parse_text
from services.rating.api.fixed_parsing import parse_fixed_charges
from services.rating.api.instant_parsing import parse_instant
from services.rating.api.price_parsing import parse_optional, parse_options, parse_price
from services.rating.api.terms_parsing import parse_thresholds, parse_trial_days
from services.rating.domain.filters import ANY, DimensionFilter
from services.rating.domain.meter import repeats
from services.rating.domain.meter_rules import DIMENSIONS_MAX
from services.rating.domain.monthly_usage import monthly_faults
from services.rating.domain.plan import (
    BUCKETS_MAX,
    CHARGES_MAX,
    INTERVAL_COUNT_MAX,
    Charge,
    FilterBucket,
    IntervalUnit,
    PlanVersion,
    Timing,
    prices_by_path,
)
from services.rating.domain.prorated_rules import prorated_price_faults
from tally.rating.v1 import plan_service_pb2 as pb

VALUE_BYTES_MAX = 1_024
VALUES_MAX = 1_000
VERSION_BYTES_MAX = 1024 * 1024


def parse_version(message: pb.PlanVersion, now: datetime) -> PlanVersion:
    """Read the version of a plan that is created at `now`, as version 1.

    Raises:
        FieldInvalid, FieldsInvalid: with every fault.
    """
    check_size(message, "version", bytes_max=VERSION_BYTES_MAX)
    faults = Faults()
    with faults.gathered():
        unit = parse_enum(
            message.interval_unit, pb.IntervalUnit, "version.interval_unit", prefix="INTERVAL_UNIT_"
        )
    count = message.interval_count or 1
    if not 1 <= count <= INTERVAL_COUNT_MAX:
        problem = f"is {count}, must be 1 to {INTERVAL_COUNT_MAX}"
        faults.add("version.interval_count", problem)
    with faults.gathered():
        base_amount = parse_optional(message.base_amount, "version.base_amount")
    timing: Timing | None = None
    if message.base_amount or message.base_timing:
        with faults.gathered():
            timing = Timing(
                parse_enum(message.base_timing, pb.Timing, "version.base_timing", prefix="TIMING_")
            )
    with faults.gathered():
        charges = _parse_charges(message.charges)
    with faults.gathered():
        codes = (charge.code or charge.meter_code for charge in message.charges)
        fixed_charges = parse_fixed_charges(message.fixed_charges, codes)
    trial_days, commitment, thresholds = 0, None, None
    with faults.gathered():
        trial_days = parse_trial_days(message.trial_days, "version.trial_days")
    with faults.gathered():
        commitment = parse_optional(message.minimum_commitment, "version.minimum_commitment")
    with faults.gathered():
        if message.HasField("usage_thresholds"):
            thresholds = parse_thresholds(message.usage_thresholds, "version.usage_thresholds")
    check_codes(message.tax_codes, "version.tax_codes", faults)
    faults.check()
    version = PlanVersion(
        plan_version_id=uuid4(),
        version=1,
        interval_unit=IntervalUnit(unit),
        base_amount=base_amount,
        base_timing=timing,
        charges=charges,
        created_at=now,
        fixed_charges=fixed_charges,
        interval_count=count,
        trial_days=trial_days,
        minimum_commitment=commitment,
        usage_thresholds=thresholds,
        bill_usage_monthly=message.bill_usage_monthly,
        tax_codes=tuple(message.tax_codes),
    )
    for fault in monthly_faults(version):
        faults.add(fault.field, fault.problem)
    faults.check()
    return version


def _parse_charges(messages: Sequence[pb.Charge]) -> tuple[Charge, ...]:
    faults = Faults()
    path = "version.charges"
    if len(messages) > CHARGES_MAX:
        faults.add(path, f"are {len(messages)}, at most {CHARGES_MAX} are allowed")
        faults.check()
    charges: list[Charge] = []
    for place, message in enumerate(messages):
        with faults.gathered():
            charges.append(parse_charge(message, f"{path}[{place}]"))
    codes = [message.code or message.meter_code for message in messages]
    _add_repeats(faults, codes, path + "[{}].code")
    faults.check()
    return tuple(charges)


def parse_charge(message: pb.Charge, path: str) -> Charge:
    """Read a charge.

    Raises:
        FieldInvalid, FieldsInvalid: with every fault, below `path`.
    """
    faults = Faults()
    with faults.gathered():
        meter_code = parse_code(message.meter_code, f"{path}.meter_code")
    with faults.gathered():
        code = parse_code(message.code, f"{path}.code") if message.code else message.meter_code
    with faults.gathered():
        name = parse_text(message.display_name, f"{path}.display_name", required=False)
    with faults.gathered():
        price = parse_price(message.price, f"{path}.price")
    with faults.gathered():
        options = parse_options(message, path)
    with faults.gathered():
        instant = parse_instant(message, path)
    check_codes(message.tax_codes, f"{path}.tax_codes", faults)
    group_by = tuple(message.group_by)
    if len(group_by) > DIMENSIONS_MAX:
        problem = f"are {len(group_by)}, at most {DIMENSIONS_MAX} are allowed"
        faults.add(f"{path}.group_by", problem)
    buckets: list[FilterBucket] = []
    if len(message.buckets) > BUCKETS_MAX:
        problem = f"are {len(message.buckets)}, at most {BUCKETS_MAX} are allowed"
        faults.add(f"{path}.buckets", problem)
        faults.check()
    for place, bucket in enumerate(message.buckets):
        with faults.gathered():
            buckets.append(_parse_bucket(bucket, f"{path}.buckets[{place}]"))
    codes = [bucket.code for bucket in message.buckets]
    _add_repeats(faults, codes, path + ".buckets[{}].code")
    faults.check()
    charge = Charge(
        code=code,
        meter_code=meter_code,
        display_name=name,
        price=price,
        buckets=tuple(buckets),
        options=options,
        group_by=group_by,
        prorated=message.prorated,
        instant=instant,
        tax_codes=tuple(message.tax_codes),
    )
    _check_prorated(charge, path)
    return charge


def _check_prorated(charge: Charge, path: str) -> None:
    """Check that a prorated charge has only prices that can be."""
    if not charge.prorated:
        return
    prices = prices_by_path(charge, path)
    faults = [fault for at, price in prices.items() for fault in prorated_price_faults(price, at)]
    if faults:
        raise FieldsInvalid(faults)


def _parse_bucket(message: pb.FilterBucket, path: str) -> FilterBucket:
    faults = Faults()
    with faults.gathered():
        code = parse_code(message.code, f"{path}.code")
    if not message.filters:
        faults.add(f"{path}.filters", "is missing")
    filters: list[DimensionFilter] = []
    for place, each in enumerate(message.filters):
        with faults.gathered():
            filters.append(_parse_filter(each, f"{path}.filters[{place}]"))
    _add_repeats(faults, [each.key for each in message.filters], path + ".filters[{}].key")
    with faults.gathered():
        price = parse_price(message.price, f"{path}.price")
    faults.check()
    return FilterBucket(code, tuple(filters), price)


def _parse_filter(message: pb.DimensionFilter, path: str) -> DimensionFilter:
    faults = Faults()
    if not message.key:
        faults.add(f"{path}.key", "is missing")
    if not message.values:
        faults.add(f"{path}.values", "is missing")
    elif len(message.values) > VALUES_MAX:
        problem = f"are {len(message.values)}, at most {VALUES_MAX} are allowed"
        faults.add(f"{path}.values", problem)
        faults.check()
    for place, value in enumerate(message.values):
        with faults.gathered():
            parse_text(value, f"{path}.values[{place}]", bytes_max=VALUE_BYTES_MAX)
    if ANY in message.values and len(message.values) > 1:
        faults.add(f"{path}.values", f"{ANY!r} stands alone: it means every value")
    _add_repeats(faults, message.values, path + ".values[{}]")
    faults.check()
    return DimensionFilter(message.key, frozenset(message.values))


def _add_repeats(faults: Faults, values: Sequence[str], path: str) -> None:
    for fault in repeats(list(values), path):
        faults.add(fault.field, fault.problem)
