"""What wallet asks of ingest and rating. Every question may be asked again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

import grpc

from libs.errors import Unavailable
from libs.money import exact_sum
from libs.peer import call
from libs.tenant import Tenant
from libs.wire import timestamp
from services.wallet.domain.session import Report, Session
from services.wallet.domain.wallet import CurrencyMismatch
from tally.ingest.v1.event_pb2 import VERDICT_ACCEPTED, VERDICT_DUPLICATE, Event, PropertyValue
from tally.ingest.v1.ingest_service_pb2 import RecordEventsRequest
from tally.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from tally.rating.v1.usage_service_pb2 import EstimateEventsRequest
from tally.rating.v1.usage_service_pb2_grpc import UsageServiceStub

SOURCE = "meter-session"


class Ingest:
    """The service that keeps events."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = IngestServiceStub(channel)

    async def record(self, tenant: Tenant, session: Session) -> None:
        """Record the last usage of a session; what is recorded already counts once.

        Raises:
            Unavailable: ingest is away, or did not take it.
        """
        if not session.added:
            return
        event = event_of(session, session.sequence, session.added, session.reported_at)
        answer = await call(
            self._stub.RecordEvents, RecordEventsRequest(events=[event]), tenant=tenant
        )
        verdict = answer.verdicts[0].verdict
        if verdict not in (VERDICT_ACCEPTED, VERDICT_DUPLICATE):
            raise Unavailable(f"ingest did not take the usage of session {session.session_id}")


class Rating:
    """The service that knows what usage costs."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = UsageServiceStub(channel)

    async def cost(self, tenant: Tenant, session: Session, report: Report) -> Decimal:
        """Return what usage would add to the fees of its subscription, in currency units.

        Raises:
            FieldInvalid, FieldsInvalid: it is no event.
            CurrencyMismatch: the subscription is billed in another currency.
        """
        if not report.added:
            return Decimal(0)
        event = event_of(session, report.sequence, report.added, report.at)
        request = EstimateEventsRequest(events=[event])
        answer = await call(self._stub.EstimateEvents, request, tenant=tenant)
        fees = [fee for usage in answer.usage for fee in usage.differences]
        for fee in fees:
            if fee.amount.currency_code != session.currency:
                problem = f"the subscription is billed in {fee.amount.currency_code}"
                raise CurrencyMismatch(f"{problem}, the wallet is in {session.currency}")
        return exact_sum(Decimal(fee.exact_amount) for fee in fees)


def event_of(session: Session, sequence: int, added: Mapping[str, Decimal], at: datetime) -> Event:
    """Return the event of a message of usage: always the same, as its id is."""
    texts = {name: PropertyValue(text=text) for name, text in session.properties.items()}
    numbers = {name: PropertyValue(decimal=f"{number:f}") for name, number in added.items()}
    return Event(
        id=f"{session.session_id}.{sequence}",
        source=SOURCE,
        type=session.event_type,
        time=timestamp(at),
        customer_id=session.customer_id,
        subscription_id=session.subscription_id,
        properties={**texts, **numbers},
        hold_id=session.hold_id,
    )
