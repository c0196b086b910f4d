"""Inserts that are compiled once: SQLAlchemy keeps the compiled form of no ON CONFLICT."""

from __future__ import annotations

import re

from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import Insert, dialect

CAST = re.compile(r"(:\w+)::[A-Z ]+")


def compiled_once(statement: Insert) -> TextClause:
    """Return `statement`, whose values are parameters, as text with the same parameters.

    They keep their types: the dialect in use casts them anew.
    """
    named = dialect(paramstyle="named")  # type: ignore[no-untyped-call]
    compiled = statement.compile(dialect=named)
    typed = [bindparam(name, type_=each.type) for name, each in compiled.binds.items()]
    return text(CAST.sub(r"\1", str(compiled))).bindparams(*typed)
