"""Reading overrides of a plan version: every fault of one is found at once, by field path."""

from __future__ import annotations

from decimal import Decimal

from libs.wire import Faults, check_size, parse_code
from services.rating.api.fixed_parsing import parse_fixed_price
from services.rating.api.price_parsing import parse_optional, parse_price
from services.rating.api.terms_parsing import parse_thresholds, parse_trial_days
from services.rating.domain.charge_price import ChargePrice
from services.rating.domain.overrides import (
    PATH,
    ChargeOverride,
    FixedChargeOverride,
    Overrides,
)
from services.rating.domain.plan import (
    BUCKETS_MAX,
    CHARGES_MAX,
    FIXED_CHARGES_MAX,
    FixedPrice,
)
from services.rating.domain.thresholds import UsageThresholds
from tally.rating.v1 import overrides_pb2 as pb

BYTES_MAX = 1024 * 1024
NO_THRESHOLDS = UsageThresholds(())


def parse_overrides(message: pb.Overrides) -> Overrides:
    """Read what a subscription has in place of what its plan version says.

    Raises:
        FieldInvalid, FieldsInvalid: with every fault.
    """
    check_size(message, PATH, bytes_max=BYTES_MAX)
    faults = Faults()
    base = commitment = days = thresholds = None
    with faults.gathered():
        base = parse_optional(message.base_amount, f"{PATH}.base_amount")
    with faults.gathered():
        commitment = parse_optional(message.minimum_commitment, f"{PATH}.minimum_commitment")
    with faults.gathered():
        if message.HasField("trial_days"):
            days = parse_trial_days(message.trial_days, f"{PATH}.trial_days")
    with faults.gathered():
        if message.HasField("usage_thresholds"):
            thresholds = _parse_thresholds(message)
    for name, most in (("charges", CHARGES_MAX), ("fixed_charges", FIXED_CHARGES_MAX)):
        count = len(getattr(message, name))
        if count > most:
            faults.add(f"{PATH}.{name}", f"are {count}, at most {most} are allowed")
            faults.check()
    charges: list[ChargeOverride] = []
    for place, charge in enumerate(message.charges):
        with faults.gathered():
            charges.append(_parse_charge(charge, f"{PATH}.charges[{place}]"))
    fixed: list[FixedChargeOverride] = []
    for place, one in enumerate(message.fixed_charges):
        with faults.gathered():
            fixed.append(_parse_fixed(one, f"{PATH}.fixed_charges[{place}]"))
    faults.check()
    return Overrides(base, commitment, days, thresholds, tuple(charges), tuple(fixed))


def _parse_thresholds(message: pb.Overrides) -> UsageThresholds:
    """Read thresholds; an empty message takes away those of the plan version."""
    thresholds = message.usage_thresholds
    if not thresholds.amounts and not thresholds.step:
        return NO_THRESHOLDS
    return parse_thresholds(thresholds, f"{PATH}.usage_thresholds")


def _parse_charge(message: pb.ChargeOverride, path: str) -> ChargeOverride:
    faults = Faults()
    with faults.gathered():
        code = parse_code(message.code, f"{path}.code")
    price: ChargePrice | None = None
    with faults.gathered():
        if message.HasField("price"):
            price = parse_price(message.price, f"{path}.price")
    if len(message.buckets) > BUCKETS_MAX:
        problem = f"are {len(message.buckets)}, at most {BUCKETS_MAX} are allowed"
        faults.add(f"{path}.buckets", problem)
        faults.check()
    buckets: list[tuple[str, ChargePrice]] = []
    for place, bucket in enumerate(message.buckets):
        at = f"{path}.buckets[{place}]"
        with faults.gathered():
            parse_code(bucket.code, f"{at}.code")
        with faults.gathered():
            buckets.append((bucket.code, parse_price(bucket.price, f"{at}.price")))
    faults.check()
    return ChargeOverride(code, price, tuple(buckets))


def _parse_fixed(message: pb.FixedChargeOverride, path: str) -> FixedChargeOverride:
    faults = Faults()
    with faults.gathered():
        code = parse_code(message.code, f"{path}.code")
    price: FixedPrice | None = None
    with faults.gathered():
        if message.HasField("price"):
            price = parse_fixed_price(message.price, f"{path}.price")
    units: Decimal | None = None
    with faults.gathered():
        units = parse_optional(message.units, f"{path}.units")
    faults.check()
    return FixedChargeOverride(code, price, units)
