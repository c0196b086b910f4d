"""What a period comes to that no invoice bills yet: what wallets reserve."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from uuid import UUID

from libs.period import Period
from services.invoicing.domain.line import PAID_AS, FeeKind, Line, RatedPeriod


@dataclass(frozen=True, slots=True)
class UnbilledLine:
    """Fees that wallets pay alike, of one meter or none, in minor units with tax; above zero."""

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
    """Return what taxed lines of a period come to, by what wallets know them as, and by meter."""
    by_pool: Counter[tuple[str, str]] = Counter()
    periods: dict[tuple[str, str], Period] = {}
    for line in lines:
        pool = PAID_AS[line.fee.kind], line.fee.meter_code
        by_pool[pool] += line.gross_minor
        periods[pool] = line.period
    return tuple(
        UnbilledLine(*pool, gross, periods[pool])
        for pool, gross in sorted(by_pool.items())
        if gross > 0
    )
