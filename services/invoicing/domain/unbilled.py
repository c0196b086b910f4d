"""What usage of a period comes to that no invoice bills yet: what wallets reserve."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from uuid import UUID

from libs.period import Period
from services.invoicing.domain.line import FeeKind, Line, RatedPeriod


@dataclass(frozen=True, slots=True)
class UnbilledLine:
    """Usage of one meter, in minor units with its tax; above zero."""

    fee_kind: str
    meter_code: str
    gross_minor: int
    period: Period


@dataclass(frozen=True, slots=True)
class Unbilled:
    """All that is unbilled of a period; a greater `revision` replaces smaller ones."""

    customer_id: str
    currency: str
    period_id: UUID
    subscription_id: str
    revision: int
    lines: tuple[UnbilledLine, ...]


def of_usage(rated: RatedPeriod) -> RatedPeriod:
    """Return a period with what its usage costs: minimums and the like come when it ends."""
    fees = tuple(fee for fee in rated.fees if fee.kind in (FeeKind.USAGE, FeeKind.CORRECTION))
    return replace(rated, fees=fees if sum(fee.amount_minor for fee in fees) >= 0 else ())


def unbilled_lines(lines: Iterable[Line]) -> tuple[UnbilledLine, ...]:
    """Return what taxed lines of a period's usage come to, by meter; nothing of it is left out."""
    by_meter: Counter[str] = Counter()
    periods: dict[str, Period] = {}
    for line in lines:
        by_meter[line.fee.meter_code] += line.gross_minor
        periods[line.fee.meter_code] = line.period
    return tuple(
        UnbilledLine(FeeKind.USAGE, meter_code, gross, periods[meter_code])
        for meter_code, gross in sorted(by_meter.items())
        if gross > 0
    )
