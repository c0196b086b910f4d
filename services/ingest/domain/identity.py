"""Who an event is: a 16-byte key in its tenant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from services.ingest.domain.texts import laid_out
from services.ingest.domain.wire import Ints, Octets, Spans

KEY_BYTES = 16
TIME_BYTES = 6  # UUIDv7 and ULID both begin with 48 bits of milliseconds.
UUID_V7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
UUID_CHARACTERS = 36
NO_DIGIT = 16
DASHES = (8, 13, 18, 23)
DIGITS = [place for place in range(UUID_CHARACTERS) if place not in DASHES]
VALUES = np.full(256, NO_DIGIT, np.uint8)  # Of hexadecimal digits in lower case.
VALUES[[ord(digit) for digit in "0123456789abcdef"]] = range(16)
TO_BASE_32 = str.maketrans("0123456789ABCDEFGHJKMNPQRSTVWXYZ", "0123456789abcdefghijklmnopqrstuv")


@dataclass(frozen=True, slots=True)
class Ids:
    """The ids of many events, one by one and one behind the other."""

    texts: Sequence[bytes]
    octets: Octets
    spans: Spans

    @staticmethod
    def of(texts: Sequence[bytes]) -> Ids:
        """Return `texts` as ids."""
        _, octets, spans = laid_out(texts)
        return Ids(texts, octets, spans)


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
    ordered, ordered_keys = _uuid_keys(ids, sources)
    keys = np.zeros((len(sources), KEY_BYTES), np.uint8)
    keys[ordered] = ordered_keys
    other = np.ones(len(sources), np.bool_)
    other[ordered] = False
    for row in np.flatnonzero(other).tolist():
        source = texts[sources[row]].decode()
        keys[row] = list(event_key(source, ids.texts[row].decode(), secret))
    return keys


def _uuid_keys(ids: Ids, sources: Ints) -> tuple[Ints, NDArray[np.uint8]]:
    """Return the rows whose id is its own key, a UUIDv7 without a source, and these keys."""
    spans = ids.spans
    rows = np.flatnonzero((spans.lengths == UUID_CHARACTERS) & (sources == 0))
    if len(rows) == len(sources):  # As nearly always: they lie one behind the other.
        size = len(rows) * UUID_CHARACTERS
        characters: Octets = ids.octets[:size].reshape(-1, UUID_CHARACTERS)
    else:
        characters = ids.octets[spans.starts[rows, None] + np.arange(UUID_CHARACTERS)]
    digits: Octets = VALUES[characters[:, DIGITS]]
    is_uuid = (digits < NO_DIGIT).all(axis=1) & (characters[:, DASHES] == ord("-")).all(axis=1)
    is_uuid &= (digits[:, 12] == 7) & (digits[:, 16] >> 2 == 2)  # Version and variant.
    return rows[is_uuid], digits[is_uuid, 0::2] << np.uint8(4) | digits[is_uuid, 1::2]


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
