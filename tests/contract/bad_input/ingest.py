"""What ingest refuses, by request and field."""

from __future__ import annotations

from collections.abc import Mapping

from tests.contract.bad_input.rules import (
    ABSENT,
    INSTANT,
    LONG,
    OPTIONAL_TEXT,
    PAGE,
    TEXT,
    UUID,
    AnyValue,
    Fields,
    Refusal,
    Rejection,
    missing,
    uuid_of,
)

EVENT: Fields = {
    "id": {
        "absent": Rejection("", "ID_MISSING"),
        "oversized": Rejection(LONG, "FIELD_TOO_LARGE"),
    },
    "source": {"oversized": Rejection(LONG, "FIELD_TOO_LARGE")},
    "type": {
        "absent": Rejection("", "TYPE_MISSING"),
        "oversized": Rejection(LONG, "FIELD_TOO_LARGE"),
    },
    "time": {
        "malformed": Rejection({"seconds": 1, "nanos": 1}, "TIME_INVALID"),
        "oversized": Rejection({"seconds": 2**60}, "TIME_INVALID"),
        "old": Rejection({"seconds": 1}, "TIME_TOO_OLD"),
        "new": Rejection({"seconds": 9_000_000_000}, "TIME_TOO_NEW"),
    },
    "customer_id": {
        "absent": Rejection("", "CUSTOMER_MISSING"),
        "oversized": Rejection(LONG, "FIELD_TOO_LARGE"),
    },
    "subscription_id": {"oversized": Rejection(LONG, "FIELD_TOO_LARGE")},
    "properties": {
        "oversized": Rejection({f"p{n}": {"flag": True} for n in range(65)}, "PROPERTIES_TOO_MANY"),
        "key empty": Rejection({"": {"flag": True}}, "PROPERTY_KEY_INVALID"),
        "key oversized": Rejection({"k" * 65: {"flag": True}}, "PROPERTY_KEY_INVALID"),
        "value oversized": Rejection(
            {"k": {"text": "x" * 1_025}}, "PROPERTY_TOO_LARGE", "properties.k"
        ),
        "value absent": Rejection({"k": {}}, "PROPERTY_INVALID", "properties.k"),
        "value malformed": Rejection({"k": {"decimal": "1,5"}}, "PROPERTY_INVALID", "properties.k"),
    },
    "amount": {
        "malformed": Rejection("1,5", "AMOUNT_INVALID"),
        "oversized": Rejection("1e40", "AMOUNT_INVALID"),
    },
    "hold_id": {
        "oversized": Rejection(LONG, "FIELD_TOO_LARGE"),
        "paid": Rejection("std_6a1f0a8e-0000-4000-8000-000000000000", "ALREADY_PAID"),
    },
}
INGEST: Mapping[str, Fields] = {
    "tally.ingest.v1.IngestService.RecordEvents": {
        "events": {
            "absent": None,
            "oversized": Refusal([{}] * 10_001, reason="BATCH_TOO_LARGE", field=""),
        },
        "atomic": AnyValue("all or nothing, or each by itself"),
        **{f"events[0].{name}": rule for name, rule in EVENT.items()},
    },
    "tally.ingest.v1.IngestService.AmendEvent": {
        "request_id": UUID,
        "event": ABSENT,
        "event.id": {"absent": "", "oversized": LONG, **missing("event", "EVENT_NOT_FOUND")},
        "event.source": {"oversized": LONG, "malformed": "a\x00b"},
        "event.type": TEXT,
        "event.time": {
            **INSTANT,
            "old": {"seconds": 1},
            "new": {"seconds": 9_000_000_000},
        },
        "event.customer_id": TEXT,
        "event.subscription_id": OPTIONAL_TEXT,
        "event.properties": {
            "oversized": {f"p{n}": {"flag": True} for n in range(65)},
            "key empty": {"": {"flag": True}},
            "value oversized": Refusal({"k": {"text": "x" * 1_025}}, field="event.properties.k"),
            "value malformed": Refusal({"k": {"decimal": "1,5"}}, field="event.properties.k"),
        },
        "event.amount": {"malformed": "1,5", "oversized": "1e40"},
        "event.hold_id": {
            "oversized": LONG,
            "paid": "std_6a1f0a8e-0000-4000-8000-000000000000",
        },
    },
    "tally.ingest.v1.IngestService.RetractEvent": {
        "request_id": UUID,
        "source": OPTIONAL_TEXT,
        "id": {**TEXT, **missing("event", "EVENT_NOT_FOUND")},
    },
    "tally.ingest.v1.IngestService.ResubmitRejected": {
        "resubmissions": {"absent": None, "oversized": [{}] * 1_001},
        "resubmissions[0].rejected_event_id": uuid_of("rejected", "REJECTED_EVENT_NOT_FOUND"),
        **{f"resubmissions[0].event.{name}": rule for name, rule in EVENT.items()},
    },
    "tally.ingest.v1.IngestService.GetEvent": {
        "source": {"oversized": LONG},
        "id": {"absent": "", "oversized": LONG, **missing("event", "EVENT_NOT_FOUND")},
    },
    "tally.ingest.v1.IngestService.ListEvents": {
        "customer_id": {"oversized": LONG},
        "subscription_id": {"oversized": LONG},
        "type": {"oversized": LONG},
        "start": INSTANT,
        "end": INSTANT,
        "include_retracted": AnyValue("with them or without"),
        "corrected_through": {"negative": -1},
        **PAGE,
    },
    "tally.ingest.v1.IngestService.ListRejectedEvents": {
        "customer_id": {"oversized": LONG},
        "reason": {"malformed": 99},
        **PAGE,
    },
    "tally.ingest.v1.IngestService.GetHeads": {
        "shards": {
            "malformed": Refusal([-1], field="shards[0]"),
            "oversized": Refusal([0, 99], field="shards[1]"),
        },
    },
}
