"""What the clients of a round know: all they have sent, and what they were answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

Identity = tuple[str, str]  # Source and id of an event.


class Fate(StrEnum):
    """What the client was told of something it asked for."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    UNKNOWN = "unknown"  # Never answered: it may have happened or not.


@dataclass(frozen=True, slots=True)
class Usage:
    """The content of an event."""

    type: str
    customer_id: str
    subscription_id: str
    time: datetime
    value: Decimal


@dataclass(slots=True)
class GrantAsked:
    """Credit for a wallet; its `reference` is known to the client alone."""

    wallet_id: str
    reference: str
    amount_minor: int
    fate: Fate = Fate.UNKNOWN
    grant_id: str = ""  # Once acknowledged.


@dataclass(slots=True)
class CaptureAsked:
    """Part of a hold to take."""

    amount_minor: int
    final: bool
    fate: Fate = Fate.UNKNOWN


@dataclass(slots=True)
class HoldAsked:
    """Part of a wallet to reserve, and what was then done with it."""

    wallet_id: str
    amount_minor: int
    fate: Fate = Fate.UNKNOWN
    hold_id: str = ""  # Once acknowledged.
    captures: list[CaptureAsked] = field(default_factory=list)
    released: Fate | None = None  # None: nobody tried to.


@dataclass(slots=True)
class UnitsAsked:
    """Other units of an add-on."""

    subscription_id: str
    code: str
    units: Decimal
    fate: Fate = Fate.UNKNOWN


@dataclass(slots=True)
class FeeTold:
    """A fee as it was listed, and what its payment may stand at."""

    exact_amount: str
    payments: set[str]


@dataclass(slots=True)
class Known:
    """The clients' memory of one world."""

    events: dict[Identity, Usage] = field(default_factory=dict)
    acknowledged: set[Identity] = field(default_factory=set)
    # To when the clocks were asked to go last, and as an event was acknowledged first.
    now: datetime = datetime.min.replace(tzinfo=UTC)
    answered_at: dict[Identity, datetime] = field(default_factory=dict)
    # What events were corrected to, None for a retracted one, and of which it is not known.
    corrected: dict[Identity, Usage | None] = field(default_factory=dict)
    uncertain: set[Identity] = field(default_factory=set)
    grants: list[GrantAsked] = field(default_factory=list)
    holds: list[HoldAsked] = field(default_factory=list)
    units: list[UnitsAsked] = field(default_factory=list)
    fees: dict[str, FeeTold] = field(default_factory=dict)  # Those on no invoice, by id.

    def contents(self, identity: Identity) -> set[Usage | None]:
        """Return what an event may be in the log; None: it may be missing there."""
        sent = self.events[identity]
        if identity not in self.corrected:
            return {sent} if identity in self.acknowledged else {sent, None}
        now = self.corrected[identity]
        return {sent, now} if identity in self.uncertain else {now}

    def captures_of(self, holds: Sequence[HoldAsked], fate: Fate) -> list[tuple[str, int]]:
        """Return (hold_id, amount) of the captures of `holds` that had this fate."""
        return [
            (hold.hold_id, capture.amount_minor)
            for hold in holds
            for capture in hold.captures
            if capture.fate is fate and capture.amount_minor
        ]
