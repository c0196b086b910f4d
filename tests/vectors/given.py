"""What a case gives: a key that nobody reads is one that nobody knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any


class Given:
    """A mapping that remembers which of its keys were read."""

    def __init__(
        self,
        values: Mapping[str, Any],
        path: str = "given",
        *,
        expect: Mapping[str, Any] | None = None,
    ) -> None:
        self._values = values
        self._expect = expect or {}
        self._path = path
        self._read: set[str] = set()
        self._inner: list[Given] = []

    def has(self, key: str) -> bool:
        """Tell whether the key is there, without reading it."""
        return key in self._values

    def value(self, key: str) -> Any:
        """Return what `key` holds, taken as a whole."""
        self._read.add(key)
        return self._values[key]

    def asked(self, key: str) -> Any:
        """Return what the case expects of `key`, where only that tells what it asks about."""
        return self._expect[key]

    def text(self, key: str) -> str:
        """Return the text of `key`."""
        return str(self.value(key))

    def decimal(self, key: str) -> Decimal:
        """Return the number of `key`."""
        return Decimal(self.value(key))

    def find_decimal(self, key: str) -> Decimal | None:
        """Return the number of `key`; None if it is null or not there."""
        value = self.value(key) if self.has(key) else None
        return None if value is None else Decimal(value)

    def decimals(self, key: str) -> list[Decimal]:
        """Return the numbers in the list of `key`."""
        return [Decimal(value) for value in self.value(key)]

    def inner(self, key: str) -> Given:
        """Return the mapping of `key`."""
        found = Given(self.value(key), f"{self._path}.{key}")
        self._inner.append(found)
        return found

    def each(self, key: str) -> list[Given]:
        """Return the mappings in the list of `key`."""
        values = self.value(key)
        found = [Given(one, f"{self._path}.{key}[{place}]") for place, one in enumerate(values)]
        self._inner += found
        return found

    def unread(self) -> Iterator[str]:
        """Give the path of every key that was not read."""
        yield from (f"{self._path}.{key}" for key in self._values if key not in self._read)
        for inner in self._inner:
            yield from inner.unread()
