"""Which grants pay: priority, then earlier expiry, then granted before purchased, then age."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from libs.errors import FieldInvalid
from services.wallet.domain.grant import Grant, GrantKind
from services.wallet.domain.ledger import Account, Book, Movement, Reason, Use

POSTED_MINOR_MAX = 10**18  # Of a wallet, so that sums fit 64 bits.

ORIGIN = {GrantKind.PURCHASED: Account.PURCHASED, GrantKind.GRANTED: Account.GRANTED}


def put_in(book: Book, grant: Grant, now: datetime) -> None:
    """Open `grant` in the wallet and post its amount.

    Raises:
        FieldInvalid: the wallet would hold more than it can count.
    """
    held = sum(other.remaining_minor for other in book.grants.values())
    if held + grant.amount_minor > POSTED_MINOR_MAX:
        raise FieldInvalid(
            "grant.amount.amount_minor", f"the wallet would hold more than {POSTED_MINOR_MAX}"
        )
    book.grants[grant.grant_id] = grant
    movement = Movement(
        ORIGIN[grant.kind], Account.AVAILABLE, (Use(grant.grant_id, grant.amount_minor),)
    )
    book.post(Reason.GRANT, str(grant.grant_id), now, movement)


def draw(grants: Sequence[Grant], amount_minor: int) -> tuple[Use, ...]:
    """Return which grants give `amount_minor`, or all they have, out of what is available.

    `grants` come in burn order. 30 of grants with 20 and 25 available: 20 and 10.
    """
    uses: list[Use] = []
    wanted = amount_minor
    for grant in grants:
        taken = min(wanted, grant.available_minor)
        if taken > 0:
            uses.append(Use(grant.grant_id, taken))
            wanted -= taken
    return tuple(uses)
