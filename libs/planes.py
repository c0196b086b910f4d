"""Columns of numbers as bytes that compress well: the first byte of each, then the second of each.

What numbers of a column have alike are their upper bytes. Lying together they take next to nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_planes(numbers: NDArray[Any], code: str) -> bytes:
    """Return `numbers` as those of the dtype `code`, as in "<i4", byte by byte.

    1, 2 and 256 as "<i2" are 01 02 00, 00 00 01.
    """
    column = np.ascontiguousarray(numbers, code)
    return column.view(np.uint8).reshape(len(column), column.itemsize).T.tobytes()


def from_planes(content: bytes, code: str) -> NDArray[Any]:
    """Return the numbers that `to_planes` made `content` of, as the dtype `code`.

    Raises:
        ValueError: `content` is no multiple of their size.
    """
    width = np.dtype(code).itemsize
    planes = np.frombuffer(content, np.uint8).reshape(width, -1 if content else 0)
    numbers: NDArray[Any] = np.ascontiguousarray(planes.T).view(code).reshape(-1)
    return numbers
