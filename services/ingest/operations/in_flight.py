"""Groups that are being sealed in this process, so that they do not lose keys to each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np

from services.ingest.operations.recent_keys import Hashes, RecentKeys


@dataclass(frozen=True, slots=True, eq=False)
class _Sealing:
    hashes: Hashes
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class InFlight:
    """What sealers know of each other; `recent` are the keys that came of late.

    A sealer that inserts a key which another one has not committed waits for it in the database,
    fails, and does all of its work again. As repeats follow their originals closely, most groups
    would.
    """

    def __init__(self) -> None:
        self.recent = RecentKeys()
        self._sealings: list[_Sealing] = []

    @asynccontextmanager
    async def turn(self, hashes: Hashes, known: Hashes) -> AsyncIterator[None]:
        """Wait for the earlier groups that have a key of `known`; `hashes` are those of all keys.

        Who waits is waited for by later ones only: no two wait for each other.
        """
        earlier = [one for one in self._sealings if np.isin(known, one.hashes).any()]
        own = _Sealing(hashes)
        self._sealings.append(own)
        try:
            for one in earlier:
                await one.ended.wait()
            yield
        finally:
            self._sealings.remove(own)
            own.ended.set()
