"""What ingest refuses of columns: those that do not fit whole, single events one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.contract.bad_input.rules import LONG, AnyValue, Fields, Refusal, Rejection

UNKNOWN = {"unknown": [9], "oversized": [0, 0]}  # For the only event.


def good_columns(event_id: str) -> dict[str, Any]:
    """Return the columns of one event that has a property of each kind."""
    return {
        "texts": ["", "calls", "acme", "large", "1e40", "1e3"],
        "ids": [event_id],
        "types": [1],
        "customer_ids": [2],
        "properties": [
            {"key": "model", "texts": {"places": [3]}},
            {"key": "tokens", "decimals": {"mantissas": [15], "exponents": [-1]}},
            {"key": "size", "decimal_texts": {"places": [5]}, "indexes": [0]},
            {"key": "cached", "flags": {"flags": [True]}},
        ],
    }


COLUMNS: Mapping[str, Fields] = {
    "tally.ingest.v1.IngestService.RecordColumns": {
        "atomic": AnyValue("all or nothing, or each by itself"),
        "columns.texts": {
            "absent": None,
            "malformed": ["calls", "acme", "large", "1e40", "1e3", ""],
            "oversized": [""] * 20,
        },
        "columns.ids": {
            "absent": None,
            "missing": Rejection([""], "ID_MISSING", "id"),
            "too long": Rejection([LONG], "FIELD_TOO_LARGE", "id"),
            "oversized": Refusal(["1"] * 10_001, reason="BATCH_TOO_LARGE", field=""),
        },
        "columns.sources": UNKNOWN,
        "columns.types": {**UNKNOWN, "absent": Rejection(None, "TYPE_MISSING", "type")},
        "columns.customer_ids": {
            **UNKNOWN,
            "absent": Rejection([0], "CUSTOMER_MISSING", "customer_id"),
        },
        "columns.subscription_ids": UNKNOWN,
        "columns.amounts": {**UNKNOWN, "malformed": Rejection([4], "AMOUNT_INVALID", "amount")},
        "columns.hold_ids": UNKNOWN,
        "columns.times": {
            "oversized": [0, 0],
            "malformed": Rejection([2**62], "TIME_INVALID", "time"),
            "old": Rejection([1], "TIME_TOO_OLD", "time"),
            "new": Rejection([9_000_000_000_000_000], "TIME_TOO_NEW", "time"),
        },
        "columns.untimed": {"unknown": [1], "oversized": [0, 0]},
        "columns.properties": {
            "oversized": [{"key": f"p{n}"} for n in range(1_025)],
            "value absent": Rejection([{"key": "k"}], "PROPERTY_INVALID", "properties.k"),
        },
        "columns.properties[1].key": {
            "absent": Rejection("", "PROPERTY_KEY_INVALID", "properties"),
            "oversized": Rejection("k" * 65, "PROPERTY_KEY_INVALID", "properties"),
            "twice": "model",
        },
        "columns.properties[0].indexes": {"unknown": [1], "malformed": [0, 0]},
        "columns.properties[0].texts.places": {"absent": None, **UNKNOWN},
        "columns.properties[1].decimals.mantissas": {
            "absent": None,
            "oversized": [1, 2],
        },
        "columns.properties[1].decimals.exponents": {
            "malformed": [31],
            "negative": [-31],
            "oversized": [0, 0],
        },
        "columns.properties[2].decimal_texts.places": {
            "absent": None,
            **UNKNOWN,
            "malformed": Rejection([0], "PROPERTY_INVALID", "properties.size"),
        },
        "columns.properties[3].flags.flags": {"absent": None, "oversized": [True, True]},
    },
}
