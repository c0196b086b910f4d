"""`tally call` reads any method and request, and says what it cannot read."""

import click
import pytest

from cli.call import find_method, parse_request
from tally.rating.v1.meter_service_pb2 import CreateMeterRequest, ListMetersRequest

CREATE = "rating.v1.MeterService/CreateMeter"


def test_methods_are_found_by_service_and_name() -> None:
    assert find_method(CREATE) is find_method(f"tally.{CREATE}")
    for wrong in ("MeterService/CreateMeter", "rating.v1.MeterService/Create", "nonsense"):
        with pytest.raises(click.BadParameter, match="no (service|method)"):
            find_method(wrong)


def test_a_command_without_a_request_id_gets_one() -> None:
    first, second = (parse_request(find_method(CREATE), '{"meter": {"code": "a"}}') for _ in "ab")
    assert isinstance(first, CreateMeterRequest) and isinstance(second, CreateMeterRequest)
    assert len(first.request_id) == 36 and first.request_id != second.request_id
    given = parse_request(find_method(CREATE), '{"request_id": "mine"}')
    assert isinstance(given, CreateMeterRequest) and given.request_id == "mine"
    listing = parse_request(find_method("rating.v1.MeterService/ListMeters"), "{}")
    assert listing == ListMetersRequest()


def test_a_request_that_does_not_fit_is_refused() -> None:
    for wrong in ("{", '{"colour": 1}'):
        with pytest.raises(click.BadParameter, match="CreateMeterRequest"):
            parse_request(find_method(CREATE), wrong)
