"""Instant fees: what single events cost as they came, and how that is paid."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID, uuid5

from libs.errors import NotFound, Refused
from services.rating.domain.event import Moment
from services.rating.domain.fee import FeeKey

NO_EVENT = -1  # In place of a shard: the moment is not that of an event.


class InstantFeeNotFound(NotFound):
    """The tenant has no such instant fee."""

    reason = "INSTANT_FEE_NOT_FOUND"


class InstantFeeInvoiced(Refused):
    """The fee is billed by invoices."""

    reason = "INSTANT_FEE_INVOICED"


class InstantFeePaid(Refused):
    """The fee was paid."""

    reason = "INSTANT_FEE_PAID"


class PaymentStatus(StrEnum):
    """Whether a fee that goes on no invoice was paid; values are those of the contract."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class InstantFee:
    """What the event recorded at `moment` costs for a charge, bucket and group.

    Or what is renewed at that moment, the start of the period. `payment_status` is None where
    invoices bill the fee.
    """

    period_id: UUID  # Of usage.
    key: FeeKey
    moment: Moment
    units: Decimal
    exact_amount: Decimal
    payment_status: PaymentStatus | None

    @property
    def is_renewal(self) -> bool:
        """Tell whether it is for what the period carries, and not for an event."""
        return self.moment.shard == NO_EVENT

    @property
    def fee_id(self) -> UUID:
        """Follow from the event and the charge: whoever rates it again makes the same.

        That of a renewal follows from the period, the bucket and the group.
        """
        if self.is_renewal:
            key = self.key
            part = ("renewal", key.charge_code, key.filter_code, key.group_values)
            return uuid5(self.period_id, json.dumps(part))
        place = (self.key.charge_code, *self.moment[1:])
        return uuid5(self.period_id, "/".join(map(str, place)))


@dataclass(frozen=True, slots=True)
class StoredFee:
    """An instant fee with what its period says about it."""

    fee: InstantFee
    subscription_id: str
    customer_id: str
    currency: str
    rated_at: datetime


@dataclass(frozen=True, slots=True)
class FeeSelection:
    """Which fees are asked for: "" and None leave nothing out."""

    subscription_id: str
    charge_code: str
    payment_status: PaymentStatus | None


def check_payment(fee: InstantFee, status: PaymentStatus) -> None:
    """Check that the payment of `fee` may go so.

    Raises:
        InstantFeeInvoiced: it is not paid by itself.
        InstantFeePaid: it was paid, and that is not to be noted once more.
    """
    if fee.payment_status is None:
        raise InstantFeeInvoiced(f"the instant fee {fee.fee_id} is billed by invoices")
    if fee.payment_status is PaymentStatus.SUCCEEDED and status is not PaymentStatus.SUCCEEDED:
        raise InstantFeePaid(f"the instant fee {fee.fee_id} was paid, it cannot be {status}")
