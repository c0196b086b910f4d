"""Which lines of an invoice are shown: of a charge with many groups the largest, and one for all
the rest. Every line is stored, taxed and paid for itself: what is shown has the same sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple
from uuid import UUID, uuid5

from libs.errors import NotFound
from libs.money import exact_sum
from services.invoicing.domain.line import FeeKind, Line

GROUPS_SHOWN = 200


class LineNotFound(NotFound):
    """The invoice has no such line."""

    reason = "LINE_NOT_FOUND"


class GroupedCharge(NamedTuple):
    """A charge of a period, or of an adjustment of one, whose lines are groups."""

    period_id: UUID
    adjustment_sequence: int
    fee_kind: FeeKind
    charge_code: str

    def folded_line_id(self, invoice_id: UUID) -> UUID:
        """Return the id of the line for all groups that are not shown."""
        return uuid5(invoice_id, "/".join(map(str, (*self, "more"))))


def shown_lines(invoice_id: UUID, lines: Sequence[Line]) -> list[Line]:
    """Return the lines that a document shows, of all `lines` of an invoice in their order.

    Of a charge with more than 200 groups these are the 200 of the largest amounts, whatever their
    sign, and of equal amounts those that come first; then one line with the sums of the others.
    """
    groups: dict[GroupedCharge, list[Line]] = {}
    for line in lines:
        if line.fee.group_values:
            groups.setdefault(charge_of(line), []).append(line)
    crowded = {charge for charge, members in groups.items() if len(members) > GROUPS_SHOWN}
    shown: list[Line] = []
    for line in lines:
        charge = charge_of(line)
        if not line.fee.group_values or charge not in crowded:
            shown.append(line)
        elif line is groups[charge][0]:  # All of them stand in the place of the first.
            ordered = by_size(groups[charge])
            line_id = charge.folded_line_id(invoice_id)
            shown += [*ordered[:GROUPS_SHOWN], _folded(line_id, ordered[GROUPS_SHOWN:])]
    return shown


def by_size(lines: Iterable[Line]) -> list[Line]:
    """Return `lines` with the largest amounts first, equal ones in the order given."""
    return sorted(lines, key=lambda line: -abs(line.fee.amount_minor))


def charge_of(line: Line) -> GroupedCharge:
    """Return the charge whose group a line is."""
    fee = line.fee
    return GroupedCharge(line.period_id, line.adjustment_sequence, fee.kind, fee.charge_code)


def _folded(line_id: UUID, lines: Sequence[Line]) -> Line:
    """Return one line with the sums of `lines`, which are groups of one charge."""
    fees = [line.fee for line in lines]
    fee = replace(
        fees[0],
        filter_code="",
        units=exact_sum(one.units for one in fees),
        event_count=sum(one.event_count for one in fees),
        exact_amount=exact_sum(one.exact_amount for one in fees),
        amount_minor=sum(one.amount_minor for one in fees),
        breakdown=(),
        group_values=(),
    )
    return replace(
        lines[0],
        line_id=line_id,
        fee=fee,
        coupons_minor=sum(line.coupons_minor for line in lines),
        progressive_credit_minor=sum(line.progressive_credit_minor for line in lines),
        tax_share_minor=sum(line.tax_share_minor for line in lines),
        credit_notes_minor=sum(line.credit_notes_minor for line in lines),
        credits_minor=sum(line.credits_minor for line in lines),
        folded_lines=len(lines),
    )
