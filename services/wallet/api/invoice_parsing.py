"""What invoicing asks the wallets to pay, read field by field."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from libs.errors import FieldInvalid
from libs.period import Period
from libs.wire import parse_code, parse_currency, parse_text, parse_timestamp, parse_uuid
from services.wallet.api.parsing import parse_optional_code
from services.wallet.domain.apply_credits import CreditLine, Invoice, SettledPeriod
from tally.common.v1.period_pb2 import Period as PeriodMessage
from tally.wallet.v1 import wallet_service_pb2

LINES_MAX = 100_000
HASH_BYTES = 32  # SHA-256.


def parse_invoice(message: wallet_service_pb2.ApplyCreditsRequest) -> Invoice:
    """Read an invoice to pay.

    Raises:
        FieldInvalid: the first field that cannot be read.
    """
    if len(message.lines) > LINES_MAX:
        raise FieldInvalid("lines", f"are {len(message.lines)}, may be {LINES_MAX}")
    if len(message.content_hash) != HASH_BYTES:
        problem = f"has {len(message.content_hash)} bytes, must have {HASH_BYTES}"
        raise FieldInvalid("content_hash", problem)
    invoice = Invoice(
        invoice_id=parse_uuid(message.invoice_id, "invoice_id"),
        customer_id=parse_text(message.customer_id, "customer_id"),
        currency=parse_currency(message.currency_code, "currency_code"),
        lines=[parse_line(line, f"lines[{place}]") for place, line in enumerate(message.lines)],
        settled=[
            parse_settled(settled, f"settled_periods[{place}]")
            for place, settled in enumerate(message.settled_periods)
        ],
        settled_ids=frozenset(UUID(settled.period_id) for settled in message.settled_periods),
    )
    if len({line.line_id for line in invoice.lines}) < len(invoice.lines):
        raise FieldInvalid("lines", "name the same line_id twice")
    return invoice


def parse_as_of(
    message: wallet_service_pb2.ApplyCreditsRequest | wallet_service_pb2.ReturnCreditsRequest,
) -> datetime | None:
    """Read when the invoice is finalized or voided; None: now."""
    return parse_timestamp(message.as_of, "as_of") if message.HasField("as_of") else None


def parse_settled(message: wallet_service_pb2.SettledPeriod, field: str) -> SettledPeriod:
    """Read a billing period that the invoice settles."""
    parse_uuid(message.period_id, f"{field}.period_id")
    return SettledPeriod(
        subscription_id=parse_text(message.subscription_id, f"{field}.subscription_id"),
        period=parse_period(message.period, f"{field}.period"),
    )


def parse_line(message: wallet_service_pb2.CreditLine, field: str) -> CreditLine:
    """Read a line to pay."""
    return CreditLine(
        line_id=parse_uuid(message.line_id, f"{field}.line_id"),
        fee_kind=parse_code(message.fee_kind, f"{field}.fee_kind"),
        meter_code=parse_optional_code(message.meter_code, f"{field}.meter_code"),
        amount_minor=message.amount_minor,
        period=parse_period(message.period, f"{field}.period"),
        subscription_id=parse_text(
            message.subscription_id, f"{field}.subscription_id", required=False
        ),
        target=parse_optional_code(message.target_wallet_code, f"{field}.target_wallet_code"),
    )


def parse_period(message: PeriodMessage, field: str) -> Period:
    """Read the instants that a line bills."""
    for name in ("start", "end"):
        if not message.HasField(name):
            raise FieldInvalid(f"{field}.{name}", "is missing")
    start = parse_timestamp(message.start, f"{field}.start")
    end = parse_timestamp(message.end, f"{field}.end")
    if end < start:
        raise FieldInvalid(field, f"ends at {end.isoformat()}, before it starts")
    return Period(start, end)
