"""What was agreed in a world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tests.chaos.expected import WEEK, Seat


@dataclass(frozen=True, slots=True)
class Terms:
    """What was agreed: the subscriptions, and when their weeks begin."""

    seats: Sequence[Seat]
    starts: Sequence[datetime]
    prepaid: frozenset[str]  # Customers whose wallets cover any invoice.

    def week_of(self, time: datetime) -> datetime:
        """Return the start of the week of an instant, also of one outside of all weeks."""
        return self.starts[0] + (time - self.starts[0]) // WEEK * WEEK
