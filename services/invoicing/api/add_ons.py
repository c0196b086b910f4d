"""Add-ons and adjusted fees of callers, read field by field."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from libs.errors import FieldInvalid
from libs.money import EXACT
from libs.wire import (
    Faults,
    check_codes,
    parse_code,
    parse_currency,
    parse_decimal,
    parse_text,
    parse_uuid,
)
from services.invoicing.domain.add_on import AddOn, fee_of
from services.invoicing.domain.adjusted_fee import AdjustedFee
from services.invoicing.operations.one_off import OneOff
from tally.invoicing.v1 import billing_service_pb2 as pb

ADD_ONS_MAX = 1_000
ADJUSTED_MAX = 100
AMOUNT_MAX = Decimal(10**12)
AMOUNT_MINOR_MAX = 10**15  # A thousand of them, with taxes, are far below int8's end.


def parse_one_off(request: pb.CreateOneOffInvoiceRequest) -> OneOff:
    """Read what is to be billed by hand.

    Raises:
        FieldInvalid, FieldsInvalid: every field that cannot be read.
    """
    faults = Faults()
    currency = ""
    with faults.gathered():
        parse_text(request.customer_id, "customer_id")
    with faults.gathered():
        currency = parse_currency(request.currency_code, "currency_code")
    add_ons = parse_add_ons(request.add_ons, "add_ons", currency, faults)
    faults.check()
    return OneOff(customer_id=request.customer_id, currency=currency, add_ons=add_ons)


def parse_add_ons(
    messages: Sequence[pb.AddOn], field: str, currency: str, faults: Faults
) -> tuple[AddOn, ...]:
    """Read 1 to 1,000 add-ons, each with a code of its own; faults are added to `faults`."""
    if not 1 <= len(messages) <= ADD_ONS_MAX:
        faults.add(field, f"{len(messages)} add-ons, must be 1 to {ADD_ONS_MAX}")
    add_ons = [
        parse_add_on(message, f"{field}[{place}]", place, faults)
        for place, message in enumerate(messages[:ADD_ONS_MAX])
    ]
    codes: set[str] = set()
    for place, add_on in enumerate(add_ons):
        if add_on.code in codes:
            faults.add(f"{field}[{place}].code", f"{add_on.code} is named twice")
        codes.add(add_on.code)
        if currency and fee_of(add_on, currency).amount_minor > AMOUNT_MINOR_MAX:
            faults.add(f"{field}[{place}].units", f"cost more than {AMOUNT_MINOR_MAX} minor units")
    return tuple(add_ons)


def parse_add_on(message: pb.AddOn, at: str, place: int, faults: Faults) -> AddOn:
    """Read an add-on; its code is by its place if it has none."""
    code, units, unit_amount = f"add-on-{place + 1}", Decimal(0), Decimal(0)
    if message.code:
        with faults.gathered():
            code = parse_code(message.code, f"{at}.code")
    with faults.gathered():
        parse_text(message.name, f"{at}.name")
    with faults.gathered():
        units = parse_decimal(message.units, f"{at}.units", above=Decimal(0))
    with faults.gathered():
        unit_amount = parse_decimal(message.unit_amount, f"{at}.unit_amount", at_least=Decimal(0))
    check_codes(message.tax_codes, f"{at}.tax_codes", faults)
    return AddOn(code, message.name, units, unit_amount, tuple(message.tax_codes))


def parse_adjusted_fees(messages: Sequence[pb.AdjustedFee]) -> list[AdjustedFee]:
    """Read what an invoice shows instead of some lines.

    Raises:
        FieldInvalid, FieldsInvalid: every field that cannot be read.
    """
    if len(messages) > ADJUSTED_MAX:
        raise FieldInvalid("adjusted_fees", f"are {len(messages)}, at most {ADJUSTED_MAX}")
    faults = Faults()
    fees: list[AdjustedFee] = []
    for place, message in enumerate(messages):
        with faults.gathered():
            fees.append(parse_adjusted_fee(message, f"adjusted_fees[{place}]"))
    faults.check()
    return fees


def parse_adjusted_fee(message: pb.AdjustedFee, at: str) -> AdjustedFee:
    """Read what a line shows; the price cannot be greater than that of an add-on.

    Raises:
        FieldInvalid, FieldsInvalid: every field that cannot be read.
    """
    faults = Faults()
    units: Decimal | None = None
    unit_amount: Decimal | None = None
    with faults.gathered():
        line_id = parse_uuid(message.line_id, f"{at}.line_id")
    with faults.gathered():
        parse_text(message.name, f"{at}.name", required=False)
    if message.units or message.unit_amount:
        with faults.gathered():
            units = parse_decimal(message.units, f"{at}.units", at_least=Decimal(0))
        with faults.gathered():
            unit_amount = parse_decimal(
                message.unit_amount, f"{at}.unit_amount", at_least=Decimal(0)
            )
    if units and unit_amount and EXACT.multiply(units, unit_amount) > AMOUNT_MAX:
        faults.add(f"{at}.units", f"cost more than {AMOUNT_MAX} currency units")
    faults.check()
    return AdjustedFee(line_id, message.name, units, unit_amount)
