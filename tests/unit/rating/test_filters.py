"""Which bucket usage goes to."""

from __future__ import annotations

import pytest

from services.rating.domain.filters import DimensionFilter, choose_bucket


def bucket(**values: str) -> list[DimensionFilter]:
    return [DimensionFilter(key, frozenset(text.split())) for key, text in values.items()]


@pytest.mark.parametrize(
    ("buckets", "dimensions", "chosen"),
    [
        ([bucket(cloud="aws")], {"cloud": "gcp"}, None),
        ([bucket(cloud="aws")], {"cloud": ""}, None),
        ([bucket(cloud="aws")], {}, None),
        ([bucket(cloud="aws"), bucket(cloud="aws", region="eu")], {"cloud": "aws"}, 0),
        (
            [bucket(cloud="aws"), bucket(cloud="aws", region="eu")],
            {"cloud": "aws", "region": "eu"},
            1,
        ),
        ([bucket(cloud="aws gcp"), bucket(cloud="aws")], {"cloud": "aws"}, 1),
        ([bucket(cloud="aws gcp"), bucket(cloud="aws")], {"cloud": "gcp"}, 0),
        ([bucket(cloud="aws"), bucket(cloud="aws")], {"cloud": "aws"}, 0),
        ([bucket(cloud="aws gcp"), bucket(cloud="aws azure")], {"cloud": "aws"}, 0),
        ([bucket(region="eu"), bucket(cloud="aws")], {"cloud": "aws", "region": "eu"}, 0),
        ([bucket(cloud="*"), bucket(cloud="aws")], {"cloud": "aws"}, 1),
        ([bucket(cloud="*")], {"cloud": "anything"}, 0),
        ([bucket(cloud="*")], {"cloud": ""}, None),
    ],
)
def test_the_narrowest_matching_bucket_takes_it_and_of_equals_the_first(
    buckets: list[list[DimensionFilter]], dimensions: dict[str, str], chosen: int | None
) -> None:
    assert choose_bucket(buckets, dimensions) == chosen
