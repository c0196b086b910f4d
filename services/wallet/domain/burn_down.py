"""Which grants pay: priority, then earlier expiry, then granted before purchased, then age."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from libs.errors import FieldInvalid, Refused
from services.wallet.domain.grant import Grant, GrantKind
from services.wallet.domain.ledger import Account, Book, Movement, Reason, Use

POSTED_MINOR_MAX = 10**18  # Of a wallet, so that sums fit 64 bits.


class InsufficientBalance(Refused):
    """The wallet cannot cover what was asked."""

    reason = "INSUFFICIENT_BALANCE"


ORIGIN = {GrantKind.PURCHASED: Account.PURCHASED, GrantKind.GRANTED: Account.GRANTED}


def put_in(book: Book, grant: Grant, now: datetime) -> None:
    """Open `grant` in the wallet and post its amount.

    Raises:
        FieldInvalid: the wallet would hold more than it can count.
    """
    check_room(book, grant.amount_minor, "grant.amount.amount_minor")
    book.grants[grant.grant_id] = grant
    movement = Movement(
        ORIGIN[grant.kind], Account.AVAILABLE, (Use(grant.grant_id, grant.amount_minor),)
    )
    book.post(Reason.GRANT, str(grant.grant_id), now, movement)


def check_room(book: Book, amount_minor: int, field: str) -> None:
    """Refuse more than a wallet can count.

    Raises:
        FieldInvalid: it would hold more.
    """
    held = sum(grant.remaining_minor for grant in book.grants.values())
    if held + amount_minor > POSTED_MINOR_MAX:
        raise FieldInvalid(field, f"the wallet would hold more than {POSTED_MINOR_MAX}")


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


def draw_all(
    book: Book, grants: Sequence[Grant], amount_minor: int, *, at_most: int | None = None
) -> tuple[Use, ...]:
    """Return which grants give all of `amount_minor`; they come in burn order.

    `at_most` bounds what they may give; None: all they have.

    Raises:
        InsufficientBalance: they have less available, or may give less.
    """
    available = sum(grant.available_minor for grant in grants)
    if at_most is not None:
        available = min(available, at_most)
    if available < amount_minor:
        raise InsufficientBalance(
            f"{available} minor units of {book.wallet.currency} are available,"
            f" {amount_minor} were asked",
            metadata={"available_minor": str(available), "asked_minor": str(amount_minor)},
        )
    return draw(grants, amount_minor)
