"""What counts for the minimum commitment that a usage period bills."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.rating.domain.commitment import Besides, Commitment
from services.rating.domain.fee import Fee
from services.rating.domain.period import BillingPeriod, PeriodKind
from services.rating.domain.plan import PlanVersion
from services.rating.store.beside import Beside


def commitment_of(
    version: PlanVersion,
    beside: Beside | None,
    fees_of: Callable[[BillingPeriod], Sequence[Fee]],
) -> Commitment | None:
    """Return the commitment that a usage period of `version` bills; None: it bills none.

    `fees_of` prices a period that counts for it as well, usage as a whole.
    """
    if beside is None or version.minimum_commitment is None:
        return None
    minor = dict.fromkeys(PeriodKind, 0)
    for one in beside.others:
        minor[one.kind] += sum(fee.amount_minor for fee in fees_of(one))
    besides = Besides(
        base_minor=minor[PeriodKind.BASE],
        usage_minor=minor[PeriodKind.USAGE],
        fixed_minor=minor[PeriodKind.FIXED],
    )
    return Commitment(version.minimum_commitment, beside.days, beside.whole, besides)
