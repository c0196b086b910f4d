"""Prices of charges that are stored nowhere: each model, by units and by events."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from libs.errors import FieldInvalid, FieldsInvalid
from libs.tenant import Tenant
from libs.wire import timestamp
from services.rating.api.preview_parsing import Preview, parse_preview
from services.rating.domain.meter import Aggregation, Dimension, Meter
from services.rating.operations.previewing import preview_events, preview_units
from tally.ingest.v1.event_pb2 import Event, PropertyValue
from tally.rating.v1 import meter_service_pb2 as meter_pb
from tally.rating.v1 import plan_service_pb2 as pb
from tally.rating.v1 import price_models_pb2 as models_pb

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
TIERS = pb.TieredPrice(
    tiers=[pb.Tier(up_to="10", unit_amount="1", flat_amount="2"), pb.Tier(unit_amount="0.5")]
)
MODELS = {
    "standard": pb.Price(standard=pb.StandardPrice(unit_amount="0.3")),
    "package": pb.Price(package=pb.PackagePrice(amount="4", package_size="5", free_units="2")),
    "graduated": pb.Price(graduated=TIERS),
    "volume": pb.Price(volume=TIERS),
}
EUROPE = pb.FilterBucket(
    code="eu",
    filters=[pb.DimensionFilter(key="region", values=["eu"])],
    price=pb.Price(standard=pb.StandardPrice(unit_amount="7")),
)


def a_request(
    price: pb.Price, *, units: str = "", filter_code: str = "", events: list[Event] | None = None
) -> pb.PreviewPriceRequest:
    return pb.PreviewPriceRequest(
        charge=pb.Charge(meter_code="calls", price=price, buckets=[EUROPE]),
        currency_code="USD",
        units=models_pb.PreviewedUnits(units=units, event_count=3, filter_code=filter_code)
        if units
        else None,
        events=events,
    )


def parsed(request: pb.PreviewPriceRequest) -> Preview:
    return parse_preview(request, Tenant(1), NOW)


def by_units(request: pb.PreviewPriceRequest) -> pb.PreviewPriceResponse:
    wanted = parsed(request)
    assert wanted.units is not None
    return preview_units(wanted.charge, wanted.currency, wanted.units)


def by_events(request: pb.PreviewPriceRequest, meter: Meter) -> pb.PreviewPriceResponse:
    wanted = parsed(request)
    return preview_events(wanted.charge, wanted.currency, meter, wanted.events)


def a_meter(aggregation: Aggregation = Aggregation.SUM) -> Meter:
    return Meter(
        meter_id=uuid4(),
        code="calls",
        name="Calls",
        event_type="call",
        aggregation=aggregation,
        value_property="value",
        dimensions=(Dimension("region", ()),),
        created_at=NOW,
    )


def an_event(value: str, **texts: str) -> Event:
    properties = {name: PropertyValue(text=text) for name, text in texts.items()}
    return Event(properties={"value": PropertyValue(decimal=value), **properties})


@pytest.mark.parametrize(
    ("model", "cents", "rows"),
    [
        ("standard", 360, ["3.6"]),
        ("package", 800, ["0", "8"]),  # 2 are free; 10 are two packages of 4.
        ("graduated", 1300, ["12", "1"]),  # 2 + 10, and 2 x 0.5.
        ("volume", 600, ["6"]),
    ],
)
def test_twelve_units_cost_the_same_as_events_that_make_them(
    model: str, cents: int, rows: list[str]
) -> None:
    counted = by_units(a_request(MODELS[model], units="12"))
    events = by_events(
        a_request(MODELS[model], events=[an_event(value) for value in ("7", "3.5", "1.5")]),
        a_meter(),
    )
    [fee] = counted.fees
    assert counted.amount.amount_minor == events.amount.amount_minor == cents
    assert [row.amount for row in fee.breakdown] == rows
    assert [replaced_name(fee)] == [replaced_name(one) for one in events.fees]


def replaced_name(fee: object) -> str:
    """Return a fee as text, without the meter's name, which units do not have."""
    return str(fee).replace('"Calls"', '"calls"')


def test_units_of_a_prorated_charge_are_there_all_the_time_and_events_have_no_days() -> None:
    for model, cents in (("standard", 360), ("graduated", 1300), ("volume", 600)):
        whole = a_request(MODELS[model], units="12")
        whole.charge.prorated = True
        assert by_units(whole).amount.amount_minor == cents
    by_days = a_request(MODELS["standard"], events=[an_event("1")])
    by_days.charge.prorated = True
    with pytest.raises(FieldInvalid) as refused:
        by_events(by_days, replace(a_meter(), recurring=True))
    assert refused.value.field == "events"
    by_days.charge.price.CopyFrom(MODELS["package"])
    with pytest.raises(FieldInvalid) as refused:
        parsed(by_days)
    assert refused.value.field == "charge.price"


def test_units_of_a_bucket_have_its_price() -> None:
    [fee] = by_units(a_request(MODELS["standard"], units="2", filter_code="eu")).fees
    assert (fee.filter_code, fee.exact_amount) == ("eu", "14")
    with pytest.raises(FieldInvalid) as refused:
        by_units(a_request(MODELS["standard"], units="2", filter_code="us"))
    assert refused.value.field == "units.filter_code"


def test_events_go_to_their_buckets_whoever_sent_them() -> None:
    owned = an_event("1", region="us")
    owned.MergeFrom(Event(type="call", customer_id="acme", subscription_id="acme-pro"))
    events = [
        an_event("2", region="eu"),
        an_event("2", region="us"),
        owned,
        Event(customer_id="acme"),  # No value.
        Event(type="another"),
    ]
    answer = by_events(a_request(MODELS["standard"], events=events), a_meter())
    assert [(fee.filter_code, fee.units) for fee in answer.fees] == [("eu", "2"), ("", "3")]
    assert (answer.amount.amount_minor, answer.uncounted) == (1490, 2)


def test_days_make_no_difference_to_what_events_cost() -> None:
    late = an_event("5")
    late.time.CopyFrom(timestamp(NOW + timedelta(days=2)))
    answer = by_events(a_request(MODELS["standard"], events=[an_event("5"), late]), a_meter())
    assert answer.amount.amount_minor == 300


def test_no_events_cost_the_first_tiers_flat_amount() -> None:
    answer = by_events(a_request(MODELS["graduated"]), a_meter())
    assert answer.amount.amount_minor == 200
    assert by_events(a_request(MODELS["standard"]), a_meter()).amount.amount_minor == 0


def test_a_charge_must_fit_the_meter_that_counts() -> None:
    request = a_request(MODELS["standard"], events=[an_event("1")])
    with pytest.raises(FieldsInvalid) as refused:
        by_events(request, replace(a_meter(), dimensions=()))
    assert [one.field for one in refused.value.faults] == ["charge.buckets[0].filters[0].key"]


def test_every_fault_of_a_preview_is_found_at_once() -> None:
    request = a_request(MODELS["standard"], units="x", events=[an_event("y"), Event()])
    request.charge.price.standard.unit_amount = "-1"
    request.currency_code = "usd"
    request.meter.CopyFrom(
        meter_pb.Meter(code="other", aggregation=meter_pb.Aggregation.AGGREGATION_COUNT)
    )
    with pytest.raises(FieldsInvalid) as refused:
        parsed(request)
    assert [fault.field for fault in refused.value.faults] == [
        "charge.price.standard.unit_amount",
        "currency_code",
        "units.units",
        "meter.code",
        "events[0].properties.value",
    ]


def test_units_and_events_are_not_given_together() -> None:
    with pytest.raises(FieldInvalid) as refused:
        parsed(a_request(MODELS["standard"], units="1", events=[an_event("1")]))
    assert refused.value.field == "units"


def test_units_may_be_any_decimal() -> None:
    answer = by_units(a_request(MODELS["standard"], units="1e-3"))
    assert Decimal(answer.fees[0].exact_amount) == Decimal("0.0003")


def test_an_instant_charge_costs_nothing_without_usage_and_gives_nothing_back() -> None:
    def instant(request: pb.PreviewPriceRequest) -> pb.PreviewPriceRequest:
        request.charge.pay_in_advance = True
        del request.charge.buckets[:]
        return request

    nothing = instant(a_request(MODELS["graduated"], units="0"))
    nothing.units.event_count = 0
    assert list(by_units(nothing).fees) == []
    nothing.charge.pay_in_advance = False
    assert by_units(nothing).amount.amount_minor == 200  # The flat amount.
    assert by_units(instant(a_request(MODELS["graduated"], units="4"))).amount.amount_minor == 600
    events = [
        Event(
            time=timestamp(NOW + timedelta(seconds=second)),
            properties={"value": PropertyValue(decimal=value)},
        )
        for second, value in enumerate(("10", "-4", "3"))
    ]
    answer = by_events(instant(a_request(MODELS["graduated"], events=events)), a_meter())
    assert [(fee.units, fee.amount.amount_minor) for fee in answer.fees] == [("10", 1200)]
