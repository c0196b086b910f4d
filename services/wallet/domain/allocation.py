"""Which wallets usage that is not billed yet will be paid from, as far as one can tell by now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.wallet.domain.wallet import Pool, Wallet


@dataclass(frozen=True, slots=True)
class Taker:
    """A wallet that unbilled usage may be put on.

    `absorbs`: a rule tops it up when it runs low, so it takes what others would have to.
    """

    wallet: Wallet
    balance_minor: int
    absorbs: bool = False


@dataclass(frozen=True, slots=True)
class Demand:
    """An amount that is not billed yet, tax included; below zero: billed too early."""

    pool: Pool
    amount_minor: int


def allocate(takers: Sequence[Taker], demands: Sequence[Demand]) -> dict[UUID, int]:
    """Return how much of `demands` goes to each wallet, in minor units; all wallets are named.

    Amounts are pooled, the largest pool is placed first; what a pool has below zero is taken off
    the others. Accepting wallets take by priority, then age, each up to its balance. What is left
    goes to the first one that absorbs, else to the last one: that may be more than it has. A pool
    that no wallet accepts goes nowhere.

    80 for wallets of 50 and 150: 50 and 30. If the first one absorbs: 80 and 0.
    """
    pools: Counter[Pool] = Counter()
    for one in demands:
        pools[one.pool] += one.amount_minor
    in_order = sorted(takers, key=lambda taker: taker.wallet.draw_key)
    room = {taker.wallet.wallet_id: taker.balance_minor for taker in in_order}
    given = dict.fromkeys(room, 0)
    left = sum(pools.values())
    for pool, amount in sorted(pools.items(), key=lambda one: (-one[1], one[0])):
        accepting = [taker for taker in in_order if taker.wallet.accepts(*pool)]
        wanted = max(0, min(amount, left))
        left -= wanted
        for place, taker in enumerate(accepting, start=1):
            wallet_id = taker.wallet.wallet_id
            takes_all = taker.absorbs or place == len(accepting)
            taken = wanted if takes_all else min(wanted, max(0, room[wallet_id]))
            room[wallet_id] -= taken
            given[wallet_id] += taken
            wanted -= taken
    return given
