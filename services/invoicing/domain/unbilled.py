"""What usage of a period comes to that no invoice bills yet: what wallets reserve."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from libs.period import Period


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
