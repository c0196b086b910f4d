"""Reading fixed charges and their units: every fault of one is found at once, by field path."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from libs.errors import FieldInvalid
from libs.wire import Faults, check_codes, parse_code, parse_decimal, parse_enum, parse_text
from services.rating.api.price_parsing import parse_price
from services.rating.domain.meter import repeats
from services.rating.domain.plan import FIXED_CHARGES_MAX, FixedCharge, FixedPrice, Timing
from services.rating.domain.price import ZERO
from services.rating.domain.unit_change import Effective
from services.rating.operations.fixed_units import WantedUnits
from tally.rating.v1 import plan_service_pb2 as pb
from tally.rating.v1 import subscription_changes_pb2 as changes_pb

PATH = "version.fixed_charges"


def parse_fixed_charges(
    messages: Sequence[pb.FixedCharge], charge_codes: Iterable[str]
) -> tuple[FixedCharge, ...]:
    """Read the fixed charges of a version whose other charges are called `charge_codes`.

    Raises:
        FieldInvalid, FieldsInvalid: with every fault.
    """
    if len(messages) > FIXED_CHARGES_MAX:
        problem = f"are {len(messages)}, at most {FIXED_CHARGES_MAX} are allowed"
        raise FieldInvalid(PATH, problem)
    faults = Faults()
    charges: list[FixedCharge] = []
    for place, message in enumerate(messages):
        with faults.gathered():
            charges.append(_parse_fixed_charge(message, f"{PATH}[{place}]"))
    codes = [message.code for message in messages]
    for fault in repeats(codes, PATH + "[{}].code"):
        faults.add(fault.field, fault.problem)
    taken = set(charge_codes)
    for place, code in enumerate(codes):
        if code and code in taken:
            faults.add(f"{PATH}[{place}].code", f"{code!r} is the code of a charge of usage")
    faults.check()
    return tuple(charges)


def parse_wanted_units(message: changes_pb.UpdateFixedUnitsRequest) -> WantedUnits:
    """Read which units a subscription shall have.

    Raises:
        FieldInvalid, FieldsInvalid: with every fault.
    """
    faults = Faults()
    with faults.gathered():
        subscription_id = parse_text(message.subscription_id, "subscription_id")
    with faults.gathered():
        code = parse_code(message.fixed_charge_code, "fixed_charge_code")
    with faults.gathered():
        units = parse_decimal(message.units, "units", at_least=ZERO)
    with faults.gathered():
        effective = parse_enum(
            message.effective,
            changes_pb.UnitsEffective,
            "effective",
            prefix="UNITS_EFFECTIVE_",
        )
    with faults.gathered():
        etag = parse_text(message.etag, "etag", required=False)
    faults.check()
    return WantedUnits(subscription_id, code, units, Effective(effective), etag)


def _parse_fixed_charge(message: pb.FixedCharge, path: str) -> FixedCharge:
    faults = Faults()
    with faults.gathered():
        code = parse_code(message.code, f"{path}.code")
    with faults.gathered():
        name = parse_text(message.display_name, f"{path}.display_name", required=False)
    with faults.gathered():
        price = parse_fixed_price(message.price, f"{path}.price")
    with faults.gathered():
        units = parse_decimal(message.units, f"{path}.units", at_least=ZERO)
    with faults.gathered():
        timing = parse_enum(message.timing, pb.Timing, f"{path}.timing", prefix="TIMING_")
    check_codes(message.tax_codes, f"{path}.tax_codes", faults)
    faults.check()
    return FixedCharge(
        code, name, price, units, Timing(timing), message.prorated, tuple(message.tax_codes)
    )


def parse_fixed_price(message: pb.Price, path: str) -> FixedPrice:
    """Read a price of a model that fixed charges may have. Errors: as `parse_price`."""
    price = parse_price(message, path)
    if not isinstance(price, FixedPrice):
        model = message.WhichOneof("model")
        problem = "is not for fixed charges: standard, graduated or volume are"
        raise FieldInvalid(f"{path}.{model}", problem)
    return price
