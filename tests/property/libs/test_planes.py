"""Planes: numbers come back, and each byte lies where its place in its number says."""

from struct import pack

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.planes import from_planes, to_planes

WIDTHS = {"b": 1, "h": 2, "i": 4, "q": 8}


@given(st.sampled_from(sorted(WIDTHS)), st.data())
def test_numbers_come_back_byte_by_byte(code: str, data: st.DataObject) -> None:
    width = WIDTHS[code]
    bound = 1 << 8 * width - 1
    numbers = data.draw(st.lists(st.integers(-bound, bound - 1), max_size=20))
    planes = to_planes(np.array(numbers, np.int64), f"<{code}")
    packed = [pack(f"<{code}", number) for number in numbers]
    assert planes == b"".join(bytes(one[place] for one in packed) for place in range(width))
    assert from_planes(planes, f"<{code}").tolist() == numbers


def test_what_is_no_multiple_of_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="reshape"):
        from_planes(bytes(7), "<i4")
