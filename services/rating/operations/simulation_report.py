"""Adding up what was simulated, and telling it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from libs.money import Money
from libs.wire import money_message
from services.rating.domain.period import PeriodStatus
from services.rating.domain.simulation import Candidate, Simulated, Tried
from services.rating.operations.messages import billing_period_message, fee_message
from tally.common.v1.money_pb2 import Money as MoneyMessage
from tally.rating.v1 import rating_service_pb2 as pb


@dataclass(slots=True)
class _Total:
    """What all subscriptions cost under a candidate."""

    minor: int = 0
    unmetered: int = 0


class Report:
    """Adds up what was simulated under `candidates` of one currency, subscription by another."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self.of_subscription: list[Simulated] = []  # Of the one under way.
        self._currency = candidates[0].currency
        self._subscriptions = 0
        self._periods = 0
        self._before = 0
        self._after = [_Total() for _ in candidates]

    def begins(self, one: Simulated) -> bool:
        """Tell whether `one` is of another subscription than the one under way."""
        held = self.of_subscription
        return bool(held) and held[0].period.subscription_uid != one.period.subscription_uid

    def finish(self) -> pb.SimulatedSubscription:
        """Return what the subscription under way comes to, and begin with the next one."""
        held, self.of_subscription = self.of_subscription, []
        before = sum(one.before_minor for one in held)
        self._subscriptions += 1
        self._periods += len(held)
        self._before += before
        first = held[0].period
        tried = zip(*(one.after for one in held), strict=True)  # By candidate.
        return pb.SimulatedSubscription(
            subscription_id=first.subscription_id,
            subscription_uid=str(first.subscription_uid),
            customer_id=first.customer_id,
            period_count=len(held),
            closed_count=sum(one.period.status is PeriodStatus.CLOSED for one in held),
            before=_money(self._currency, before),
            after=[self._add(*each) for each in zip(self._after, tried, strict=True)],
        )

    def _add(self, total: _Total, held: Sequence[Tried]) -> pb.TriedSubscription:
        minor = sum(one.amount_minor for one in held)
        unmetered = sorted({code for one in held for code in one.unmetered})
        total.minor += minor
        total.unmetered += bool(unmetered)
        return pb.TriedSubscription(amount=_money(self._currency, minor), unmetered_codes=unmetered)

    def whole(self) -> pb.Simulation:
        """Return what all of them come to."""
        return pb.Simulation(
            subscription_count=self._subscriptions,
            period_count=self._periods,
            before=_money(self._currency, self._before),
            after=[
                pb.TriedTotal(
                    amount=_money(self._currency, total.minor), unmetered_count=total.unmetered
                )
                for total in self._after
            ],
        )


def period_message(one: Simulated) -> pb.SimulatedPeriod:
    """Return a period with its fees, as told to clients."""
    currency = one.period.currency
    after = [
        pb.TriedPeriod(
            fees=[fee_message(fee, currency) for fee in tried.fees],
            amount=_money(currency, tried.amount_minor),
            unmetered_codes=tried.unmetered,
        )
        for tried in one.after
    ]
    return pb.SimulatedPeriod(
        period=billing_period_message(one.period),
        fees_before=[fee_message(fee, currency) for fee in one.before],
        before=_money(currency, one.before_minor),
        after=after,
    )


def _money(currency: str, minor: int) -> MoneyMessage:
    return money_message(Money(currency, minor))
