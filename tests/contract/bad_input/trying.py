"""What rating refuses to try: events and charges that are stored nowhere."""

from __future__ import annotations

from collections.abc import Mapping

from tests.contract.bad_input.ingest import INGEST
from tests.contract.bad_input.plans import VERSION
from tests.contract.bad_input.rating import RATING
from tests.contract.bad_input.rules import (
    ABSENT,
    CODE,
    CURRENCY,
    OPTIONAL_CODE,
    OPTIONAL_TEXT,
    PRICE,
    AnyValue,
    Fields,
    Foreign,
    Refusal,
    Rejection,
    Rule,
    enum,
)

RECORDED = INGEST["tally.ingest.v1.IngestService.RecordEvents"]
CREATED_METER = RATING["tally.rating.v1.MeterService.CreateMeter"]
SAME_PARSER = AnyValue("read by the parser that CreatePlan or CreateMeter has rows for")
# What ingest refuses for the sake of the log: an estimate keeps nothing.
OF_THE_LOG = {"ID_MISSING", "TIME_TOO_OLD", "TIME_TOO_NEW", "ALREADY_PAID"}
OF_SOMEONE = {"TYPE_MISSING", "CUSTOMER_MISSING"}  # A preview needs neither.


def _events(*, but: set[str]) -> Fields:
    """Refuse at its path what ingest rejects, `but` for some reasons."""
    return {
        path: _refused(path, rule, but)
        for path, rule in RECORDED.items()
        if path.startswith("events[0].")
    }


def _refused(path: str, rule: Rule | AnyValue, but: set[str]) -> Rule | AnyValue:
    if isinstance(rule, AnyValue):
        return rule
    refused = {
        kind: Refusal(case.value, field=f"events[0].{case.field}" if case.field else path)
        for kind, case in rule.items()
        if isinstance(case, Rejection) and case.reason not in but
    }
    return refused or AnyValue("only the log asks for more")


def _charge() -> Fields:
    """Name every field that a charge of a plan has."""
    in_version = [path.partition(".")[2] for path in VERSION if path.startswith("version.charges[")]
    return {f"charge.{path.partition('.')[2]}": SAME_PARSER for path in in_version}


TRYING: Mapping[str, Fields] = {
    "tally.rating.v1.UsageService.EstimateEvents": {
        "events": {"absent": None, "oversized": Refusal([{}] * 1_001)},
        "subscription_id": OPTIONAL_TEXT,
        **_events(but=OF_THE_LOG),
    },
    "tally.rating.v1.PlanService.PreviewPrice": {
        **_charge(),
        "charge": {**ABSENT, "oversized": {"display_name": "a" * 1_048_576}},
        "charge.code": OPTIONAL_CODE,
        "charge.meter_code": {
            "absent": "",
            "malformed": "a b",
            "foreign": Refusal(Foreign("meter"), reason="METER_UNKNOWN", field=""),
        },
        "charge.price": ABSENT,
        "charge.price.standard.unit_amount": PRICE,
        "charge.buckets[0].code": CODE,
        "charge.buckets[0].filters[0].key": {"absent": "", "unknown": "colour"},
        "currency_code": CURRENCY,
        "events": {"oversized": Refusal([{}] * 1_001)},
        **_events(but=OF_THE_LOG | OF_SOMEONE),
        "units.units": {"malformed": "1,5", "oversized": "1e40"},
        "units.event_count": {"negative": -1},
        "units.filter_code": OPTIONAL_CODE,
        **{path: SAME_PARSER for path in CREATED_METER if path.startswith("meter.")},
        "meter.code": {"malformed": "a b", "oversized": "a" * 129, "other": "other"},
        "meter.aggregation": enum(),
    },
}
