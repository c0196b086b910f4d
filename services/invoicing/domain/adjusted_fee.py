"""Fees that somebody set by hand on a draft, in place of what was rated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID

from libs.errors import Refused
from libs.money import EXACT, round_minor
from services.invoicing.domain.line import BreakdownRow, Fee, Line, RatedPeriod, line_id_of

ADJUSTED = "adjusted"  # The label of the one step of its price.


class InvoiceNotDraft(Refused):
    """Only a draft is changed: what is finalized is credited, or voided and billed again."""

    reason = "INVOICE_NOT_DRAFT"


@dataclass(frozen=True, slots=True)
class AdjustedFee:
    """What a line shows instead: `units` at `unit_amount` currency units each, and a name.

    Without both it keeps its price, without a name its description; without all it is as rated.
    """

    line_id: UUID
    name: str = ""
    units: Decimal | None = None
    unit_amount: Decimal | None = None

    @property
    def empty(self) -> bool:
        """Tell whether it changes nothing."""
        return not self.name and self.units is None

    def of(self, fee: Fee, currency: str) -> Fee:
        """Return `fee` with this in place of what was rated; it counts the same events."""
        named = replace(fee, description=self.name) if self.name else fee
        if self.units is None or self.unit_amount is None:
            return named
        exact = EXACT.multiply(self.units, self.unit_amount)
        step = BreakdownRow(ADJUSTED, self.units, self.unit_amount, Decimal(0), exact, None)
        return replace(
            named,
            units=self.units,
            exact_amount=exact,
            amount_minor=round_minor(exact, currency),
            breakdown=(step,),
        )


def adjust(
    invoice_id: UUID,
    currency: str,
    rated: Iterable[RatedPeriod],
    adjusted: Sequence[AdjustedFee],
) -> list[RatedPeriod]:
    """Return `rated` with the adjusted fees of an invoice's lines.

    Rating may have answered again since: a fee that is not there any more is passed over.
    """
    if not adjusted:
        return list(rated)
    by_line = {one.line_id: one for one in adjusted}
    changed: list[RatedPeriod] = []
    for period in rated:
        fees = []
        for fee in period.fees:
            one = by_line.get(line_id_of(invoice_id, period.period_id, period.sequence, fee))
            fees.append(one.of(fee, currency) if one else fee)
        changed.append(replace(period, fees=tuple(fees)))
    return changed


def moved(line: Line, voided_id: UUID, invoice_id: UUID) -> UUID:
    """Return the id of the line of a new invoice that bills the same as one of a voided invoice."""
    period_id = invoice_id if line.period_id == voided_id else line.period_id  # Of add-ons.
    return line_id_of(invoice_id, period_id, line.adjustment_sequence, line.fee)
