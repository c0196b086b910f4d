"""Pages by keyset: what comes behind the last thing of the page before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, SmallInteger, literal, tuple_


def behind(columns: Sequence[ColumnElement[Any]], values: Sequence[object]) -> ColumnElement[bool]:
    """Tell which rows sort behind `values` when sorted by `columns`.

    A small column is compared with any whole number of 64 bits: a caller may have made it up.
    """
    kinds = (
        BigInteger() if isinstance(column.type, SmallInteger) else column.type for column in columns
    )
    given = [literal(value, kind) for value, kind in zip(values, kinds, strict=True)]
    return tuple_(*columns) > tuple_(*given)
