"""The fact that events of an instant charge were priced."""

from __future__ import annotations

from collections.abc import Sequence

from libs.money import exact_sum
from services.rating.domain.instant_fee import InstantFee
from services.rating.domain.period import BillingPeriod
from services.rating.domain.plan import Charge
from services.rating.operations.messages import shown
from tally.rating.v1 import events_pb2


def rated_message(
    period: BillingPeriod, charge: Charge, fees: Sequence[InstantFee], shard: int, number: int
) -> events_pb2.InstantFeesRated:
    """Write what the fees of a segment's events come to."""
    total = exact_sum(fee.exact_amount for fee in fees)
    return events_pb2.InstantFeesRated(
        subscription_id=period.subscription_id,
        customer_id=period.customer_id,
        period_id=str(period.period_id),
        charge_code=charge.code,
        shard=shard,
        number=number,
        currency_code=period.currency,
        fee_count=len(fees),
        exact_amount=shown(total),
        not_invoiced=charge.instant is not None and not charge.instant.invoiced,
    )
