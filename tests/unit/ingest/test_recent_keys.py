"""The hint on which keys the database need not be asked about."""

from __future__ import annotations

import numpy as np

from services.ingest.operations.recent_keys import (
    GENERATION_KEYS,
    GROUPS_IN_DOUBT,
    Hashes,
    RecentKeys,
    key_hashes,
)

NONE = np.zeros(0, np.uint64)


def hashes(first: int, after: int, *, tenant: int = 1) -> Hashes:
    keys = np.zeros((after - first, 16), np.uint8)
    keys[:, 8:] = np.arange(first, after).astype(">u8").view(np.uint8).reshape(-1, 8)
    return key_hashes(np.full(after - first, tenant), keys)


def trusted() -> RecentKeys:
    recent = RecentKeys()
    for _ in range(GROUPS_IN_DOUBT):
        recent.take(NONE)
    return recent


def test_a_key_that_came_is_known_and_all_but_few_new_ones_are_not() -> None:
    recent = trusted()
    first = recent.take(hashes(0, 100_000))
    assert first.mean() < 0.001
    assert recent.take(hashes(50_000, 150_000))[:50_000].all()
    assert recent.take(hashes(0, 100_000, tenant=2)).mean() < 0.01, "of another tenant"


def test_a_key_is_known_until_two_generations_of_others_came() -> None:
    recent = trusted()
    own = hashes(0, 1_000)
    recent.take(own)
    half = GENERATION_KEYS // 2
    recent.take(hashes(half, half + GENERATION_KEYS))
    assert recent.take(own[:10]).all()
    for first in range(2, 4):
        recent.take(hashes(first * GENERATION_KEYS, (first + 1) * GENERATION_KEYS))
    assert recent.take(own[10:]).mean() < 0.1


def test_it_vouches_for_nothing_at_the_start_and_after_it_was_wrong() -> None:
    recent = RecentKeys()
    assert all(recent.take(hashes(n, n + 1)).all() for n in range(GROUPS_IN_DOUBT))
    assert not recent.take(hashes(1_000, 1_001)).any()
    recent.doubt()
    assert recent.take(hashes(2_000, 2_001)).all()
