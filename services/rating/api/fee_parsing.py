"""Reading which fee is to be explained."""

from __future__ import annotations

from libs.errors import FieldInvalid
from libs.wire import Faults, parse_code, parse_text, parse_uuid
from services.rating.domain.fee import FeeKey, FeeKind
from services.rating.operations.explaining_fees import WantedFee
from tally.rating.v1.fee_explanation_pb2 import ExplainFeeRequest


def parse_wanted_fee(request: ExplainFeeRequest) -> WantedFee:
    """Read which fee is meant.

    Raises:
        FieldsInvalid: a field is bad.
    """
    faults = Faults()
    with faults.gathered():
        period_id = parse_uuid(request.period_id, "period_id")
    with faults.gathered():
        if request.sequence < 0:
            raise FieldInvalid("sequence", f"is {request.sequence}, must not be below 0")
    with faults.gathered():
        charge_code = parse_code(request.charge_code, "charge_code")
    with faults.gathered():
        filter_code = parse_text(request.filter_code, "filter_code", required=False)
    faults.check()
    group = tuple((one.key, one.value) for one in request.group_values)
    key = FeeKey(FeeKind.USAGE, charge_code, filter_code, group)
    return WantedFee(period_id, request.sequence, key)
