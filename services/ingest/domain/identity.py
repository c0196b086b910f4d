"""Who an event is: a 16-byte key in its tenant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from services.ingest.domain.texts import laid_out
from services.ingest.domain.uuids import find_uuids
from services.ingest.domain.wire import Flags, Ints, Octets, Spans

KEY_BYTES = 16
TIME_BYTES = 6  # UUIDv7 and ULID both begin with 48 bits of milliseconds.
UUID_V7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
TO_BASE_32 = str.maketrans("0123456789ABCDEFGHJKMNPQRSTVWXYZ", "0123456789abcdefghijklmnopqrstuv")


@dataclass(frozen=True, slots=True)
class Ids:
    """The ids of many events, one by one and one behind the other.

    Of those that are UUIDs in lower case `uuids` has the 16 bytes, of others zeros.
    """

    texts: Sequence[bytes]
    octets: Octets
    spans: Spans
    are_uuids: Flags
    uuids: Octets

    @staticmethod
    def of(texts: Sequence[bytes]) -> Ids:
        """Return `texts` as ids."""
        _, octets, spans = laid_out(texts)
        return Ids(texts, octets, spans, *find_uuids(octets, spans))


def event_key(source: str, event_id: str, secret: bytes) -> bytes:
    """Return the 16 bytes that name the event (source, event_id) within its tenant.

    A UUIDv7 in lower case, or a ULID in upper case, is its own key if there is no source. Any
    other identity is hashed under `secret`, so that nobody can make two meet; the time at the
    head of a time-ordered id stays there, and the index of keys stays hot.
    """
    ordered, canonical = _time_ordered(event_id)
    if ordered is not None and canonical and not source:
        return ordered
    # The length keeps ("a", "bc") apart from ("ab", "c").
    content = f"{len(source)}:{source}{event_id}".encode()
    hashed = blake2b(content, digest_size=KEY_BYTES, key=secret).digest()
    return hashed if ordered is None else ordered[:TIME_BYTES] + hashed[TIME_BYTES:]


def event_keys(ids: Ids, sources: Ints, texts: Sequence[bytes], secret: bytes) -> NDArray[np.uint8]:
    """Return the keys of many events, 16 bytes a row, as `event_key` gives them.

    `sources` are places in `texts`, 0 for none.
    """
    versions, variants = ids.uuids[:, 6] >> 4, ids.uuids[:, 8] >> 6
    own = ids.are_uuids & (sources == 0) & (versions == 7) & (variants == 2)
    keys = ids.uuids.copy()
    for row in np.flatnonzero(~own).tolist():
        source = texts[sources[row]].decode()
        keys[row] = list(event_key(source, ids.texts[row].decode(), secret))
    return keys


def _time_ordered(event_id: str) -> tuple[bytes | None, bool]:
    """Return the bytes of a UUIDv7 or ULID, and whether they may stand for this very text."""
    if len(event_id) == 36:
        lower = event_id.lower()
        if UUID_V7.fullmatch(lower):
            return bytes.fromhex(lower.replace("-", "")), lower == event_id
    elif len(event_id) == 26:
        upper = event_id.upper()
        if ULID.fullmatch(upper):
            ordered = int(upper.translate(TO_BASE_32), 32).to_bytes(KEY_BYTES, "big")
            # One that reads as a UUIDv7 too must not take that one's key.
            is_uuid = ordered[6] >> 4 == 7 and ordered[8] >> 6 == 2
            return ordered, upper == event_id and not is_uuid
    return None, False
