"""Reading what makes a charge instant, and requests about instant fees."""

from __future__ import annotations

from uuid import UUID

from libs.wire import (
    Faults,
    parse_code,
    parse_decimal,
    parse_enum,
    parse_text,
    parse_uuid,
)
from services.rating.domain.instant_charge import InstantTerms, Settle, terms_faults
from services.rating.domain.instant_fee import FeeSelection, PaymentStatus
from services.rating.domain.price import ZERO
from tally.rating.v1 import charge_options_pb2, instant_fee_pb2
from tally.rating.v1 import plan_service_pb2 as pb
from tally.rating.v1 import rating_service_pb2 as rating_pb

STATUS_PREFIX = "PAYMENT_STATUS_"


def parse_instant(message: pb.Charge, path: str) -> InstantTerms | None:
    """Read how a charge is billed whose events are priced as they come; None if they are not.

    Raises:
        FieldInvalid, FieldsInvalid: with every fault, below `path`.
    """
    faults = Faults()
    settle, amount = Settle.PERIOD, None
    if not message.pay_in_advance:
        for name in ("settle", "settle_amount", "not_invoiced"):
            if getattr(message, name):
                faults.add(f"{path}.{name}", "only goes with pay_in_advance")
        faults.check()
        return None
    with faults.gathered():
        if message.settle:
            at = f"{path}.settle"
            settle = Settle(
                parse_enum(message.settle, charge_options_pb2.Settle, at, prefix="SETTLE_")
            )
    with faults.gathered():
        if message.settle_amount:
            amount = parse_decimal(message.settle_amount, f"{path}.settle_amount", at_least=ZERO)
    faults.check()
    terms = InstantTerms(settle, amount, invoiced=not message.not_invoiced)
    for fault in terms_faults(terms, path):
        faults.add(fault.field, fault.problem)
    faults.check()
    return terms


def parse_selection(request: rating_pb.ListInstantFeesRequest) -> FeeSelection:
    """Read which fees to list. Errors as above."""
    faults = Faults()
    subscription_id = charge_code = ""
    status: PaymentStatus | None = None
    with faults.gathered():
        if request.subscription_id:
            subscription_id = parse_text(request.subscription_id, "subscription_id")
    with faults.gathered():
        if request.charge_code:
            charge_code = parse_code(request.charge_code, "charge_code")
    with faults.gathered():
        if request.payment_status:
            status = _status(request.payment_status)
    faults.check()
    return FeeSelection(subscription_id, charge_code, status)


def parse_payment(
    request: rating_pb.SetInstantFeePaymentRequest,
) -> tuple[UUID, PaymentStatus]:
    """Read whose payment went how. Errors as above."""
    faults = Faults()
    with faults.gathered():
        fee_id = parse_uuid(request.fee_id, "fee_id")
    with faults.gathered():
        status = _status(request.payment_status)
    faults.check()
    return fee_id, status


def _status(value: instant_fee_pb2.PaymentStatus.ValueType) -> PaymentStatus:
    known = instant_fee_pb2.PaymentStatus
    return PaymentStatus(parse_enum(value, known, "payment_status", prefix=STATUS_PREFIX))
