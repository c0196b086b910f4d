"""Minimum commitments: what the fees of a period lack of the least that its plan costs.

It is owed for the days of the usage period, sheltered by no trial, and goes with that period's
fees. An amount is exact and rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from libs.errors import FieldInvalid
from libs.money import EXACT, Money, round_minor, to_decimal
from libs.period import DayPeriod
from services.rating.domain.fee import Fee, FeeKey, FeeKind, share_of_days
from services.rating.domain.plan import PERIOD_MINOR_MAX, PlanVersion
from services.rating.domain.price import ZERO, amount_of, flat_row
from services.rating.domain.true_up import true_up_minor


@dataclass(frozen=True, slots=True)
class Besides:
    """What counts for a commitment besides the fees of the usage period itself; minor units."""

    base_minor: int = 0
    usage_minor: int = 0
    fixed_minor: int = 0


NOTHING_BESIDES = Besides()


@dataclass(frozen=True, slots=True)
class Commitment:
    """At least `amount` for all of the `whole` period, of which `days` are owed."""

    amount: Decimal
    days: int
    whole: DayPeriod
    besides: Besides = NOTHING_BESIDES


def commitment_fee(
    commitment: Commitment, fees: Sequence[Fee], *, name: str, currency: str
) -> Fee | None:
    """Return what `fees` of a usage period, and those besides, lack of a commitment.

    amount x days / days of the whole - fees, computed exactly and rounded once; None if nothing
    lacks. 1000.00 for 15 of 30 days, a base fee of 50.00 and usage of 30.00 lack 420.00.
    """
    besides = commitment.besides
    fixed = sum(fee.amount_minor for fee in fees if fee.key.kind is FeeKind.FIXED)
    used = sum(fee.amount_minor for fee in fees) - fixed + besides.usage_minor
    fixed += besides.fixed_minor
    lacking = true_up_minor(
        commitment.amount,
        besides.base_minor + used + fixed,
        days=commitment.days,
        of_days=commitment.whole.days,
        currency=currency,
    )
    if not lacking:
        return None
    counted = (("base_fee", besides.base_minor), ("used", used), ("fixed_fees", fixed))
    rows = (
        share_of_days(commitment.amount, commitment.days, commitment.whole, label="minimum"),
        *(flat_row(label, _taken(minor, currency)) for label, minor in counted if minor),
    )
    return Fee(
        key=FeeKey(FeeKind.COMMITMENT, "", ""),
        meter_code="",
        display_name=name,
        units=ZERO,
        event_count=0,
        exact_amount=amount_of(rows),
        amount_minor=lacking,
        rows=rows,
    )


def check_commitment(version: PlanVersion, currency: str, *, path: str = "version") -> None:
    """Check that the minimum commitment of `version`, in a plan of `currency`, can be billed.

    Raises:
        FieldInvalid: it is too large; its field is below `path`.
    """
    if version.minimum_commitment is None:
        return
    minor = round_minor(version.minimum_commitment, currency)
    if minor > PERIOD_MINOR_MAX:
        problem = f"is {minor} minor units, at most {PERIOD_MINOR_MAX} can be billed"
        raise FieldInvalid(f"{path}.minimum_commitment", problem)


def _taken(minor: int, currency: str) -> Decimal:
    return EXACT.minus(to_decimal(Money(currency, minor)))
