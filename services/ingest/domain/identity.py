"""Who an event is: a 16-byte key in its tenant."""

from __future__ import annotations

import re
from hashlib import blake2b

KEY_BYTES = 16
TIME_BYTES = 6  # UUIDv7 and ULID both begin with 48 bits of milliseconds.
UUID_V7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
TO_BASE_32 = str.maketrans("0123456789ABCDEFGHJKMNPQRSTVWXYZ", "0123456789abcdefghijklmnopqrstuv")


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
