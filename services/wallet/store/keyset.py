"""Pages by keyset: what comes behind the last thing of the page before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, literal, tuple_


def behind(columns: Sequence[ColumnElement[Any]], values: Sequence[object]) -> ColumnElement[bool]:
    """Tell which rows sort behind `values` when sorted by `columns`."""
    given = [literal(value, column.type) for value, column in zip(values, columns, strict=True)]
    return tuple_(*columns) > tuple_(*given)
