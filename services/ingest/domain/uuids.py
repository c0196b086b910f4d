"""Ids that are UUIDs as they are usually written, in lower case: 36 characters are 16 bytes."""

from __future__ import annotations

import numpy as np

from services.ingest.domain.wire import Flags, Octets, Spans

UUID_BYTES = 16
UUID_CHARACTERS = 36
DASHES = (8, 13, 18, 23)
DIGITS = [place for place in range(UUID_CHARACTERS) if place not in DASHES]
NO_DIGIT = 16
VALUES = np.full(256, NO_DIGIT, np.uint8)  # Of hexadecimal digits in lower case.
VALUES[[ord(digit) for digit in "0123456789abcdef"]] = range(16)
CHARACTERS = np.frombuffer(b"0123456789abcdef", np.uint8)


def find_uuids(octets: Octets, spans: Spans) -> tuple[Flags, Octets]:
    """Tell which texts are UUIDs in lower case; return the 16 bytes of each, zero of others."""
    long = spans.lengths == UUID_CHARACTERS
    if long.all():  # As nearly always: they lie one behind the other.
        characters: Octets = octets[: len(long) * UUID_CHARACTERS].reshape(-1, UUID_CHARACTERS)
    else:
        starts = np.where(long, spans.starts, 0)[:, None]
        characters = octets[np.minimum(starts + np.arange(UUID_CHARACTERS), len(octets) - 1)]
    digits: Octets = VALUES[characters[:, DIGITS]]
    are_uuids = long & (digits < NO_DIGIT).all(axis=1)
    are_uuids &= (characters[:, DASHES] == ord("-")).all(axis=1)
    uuids = digits[:, 0::2] << np.uint8(4) | digits[:, 1::2]
    uuids[~are_uuids] = 0
    return are_uuids, uuids


def uuid_texts(uuids: Octets) -> list[str]:
    """Return UUIDs, 16 bytes a row, as they are written."""
    characters = np.full((len(uuids), UUID_CHARACTERS), ord("-"), np.uint8)
    digits = np.stack([uuids >> 4, uuids & 15], axis=2).reshape(len(uuids), 2 * UUID_BYTES)
    characters[:, DIGITS] = CHARACTERS[digits]
    texts: list[str] = characters.view(f"S{UUID_CHARACTERS}").reshape(-1).astype("U").tolist()
    return texts
