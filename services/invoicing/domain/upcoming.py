"""Periods that will be billed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from libs.period import Period


@dataclass(frozen=True, slots=True)
class Upcoming:
    """A period that is not billed yet, as rating plans it; one of instant fees is billed alone."""

    period_id: UUID
    customer_id: str
    currency: str
    period: Period
    due_at: datetime
    time_zone: str
    instant: bool
