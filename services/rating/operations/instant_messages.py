"""The fact that events of an instant charge were priced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from libs.money import exact_sum
from services.rating.domain.instant_fee import InstantFee
from services.rating.domain.period import BillingPeriod
from services.rating.domain.plan import Charge
from services.rating.operations.messages import shown
from tally.rating.v1 import events_pb2


class Segment(NamedTuple):
    """A segment of the log."""

    shard: int
    number: int


def rated_message(
    period: BillingPeriod, charge: Charge, fees: Sequence[InstantFee], segment: Segment | None
) -> events_pb2.InstantFeesRated:
    """Write what the fees of a segment's events come to; None: those that the period renews."""
    total = exact_sum(fee.exact_amount for fee in fees)
    return events_pb2.InstantFeesRated(
        subscription_id=period.subscription_id,
        customer_id=period.customer_id,
        period_id=str(period.period_id),
        charge_code=charge.code,
        shard=0 if segment is None else segment.shard,
        number=0 if segment is None else segment.number,
        renewal=segment is None,
        currency_code=period.currency,
        fee_count=len(fees),
        exact_amount=shown(total),
        not_invoiced=charge.instant is not None and not charge.instant.invoiced,
    )
