"""The invoice: total = subtotal + tax - credit notes - credits, never below zero.

The subtotal is that of its lines, less coupons. It is frozen before it is paid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from libs.errors import NotFound
from libs.period import Period, local_day
from services.invoicing.domain.coupon import CouponUse, exact_shares
from services.invoicing.domain.line import Line, RatedPeriod, lines_of, with_credits
from services.invoicing.domain.note_use import NoteApplication, spread_notes
from services.invoicing.domain.party import ENTITY_CODE, IssueAdjustment, IssueAnchor, Party
from services.invoicing.domain.payment import InvoicePaymentStatus, Receivable, overdue_at
from services.invoicing.domain.tax import TaxAmount, TaxTerms, share_out, tax_lines
from services.invoicing.domain.voiding import Voiding


class InvoiceNotFound(NotFound):
    """The tenant has no such invoice."""

    reason = "INVOICE_NOT_FOUND"


class Kind(StrEnum):
    """Why an invoice came about."""

    SUBSCRIPTION = "subscription"  # Periods became due.
    INSTANT = "instant"  # Fees that are billed at once.
    PROGRESSIVE = "progressive"  # Usage of a period that has not ended reached a threshold.
    ONE_OFF = "one_off"  # Somebody made it by hand.
    CREDIT_PURCHASE = "credit_purchase"  # Somebody buys prepaid credits.

    @property
    def takes_late_usage(self) -> bool:
        """Tell whether it bills what changed in earlier periods, too."""
        return self in (Kind.SUBSCRIPTION, Kind.INSTANT)

    @property
    def bare(self) -> bool:
        """Tell whether nothing comes to what it bills: no tax, credit note or prepaid credit."""
        return self is Kind.CREDIT_PURCHASE


class Status(StrEnum):
    """Where an invoice stands: draft, finalizing, (open,) then finalized or skipped; or voided."""

    DRAFT = "draft"
    FINALIZING = "finalizing"
    OPEN = "open"  # Waits for its payment, without a number.
    FINALIZED = "finalized"
    SKIPPED = "skipped"
    VOIDED = "voided"


@dataclass(frozen=True, slots=True)
class Group:
    """What goes on one invoice: periods of one customer and currency, due on one local day.

    One billing entity sells them all. `alone` is the one period that has an invoice to itself, if
    it is such; without any period, the invoice.
    """

    customer_id: str
    currency: str
    day: date
    alone: UUID | None = None
    kind: Kind = Kind.SUBSCRIPTION
    entity_code: str = ENTITY_CODE


@dataclass(frozen=True, slots=True)
class Content:
    """What an invoice bills: its lines with their shares of all else, in minor units.

    It is put together step by step, in this order: `compose`, `with_coupons`, `with_taxes`,
    `with_notes`. `default_tax_codes` are those of lines that name none, None: it bears no tax.
    `notes` are the credit notes that pay some of it; `early` the progressive invoices that billed
    some of it before.
    """

    lines: tuple[Line, ...]
    coupons: tuple[CouponUse, ...] = ()
    default_tax_codes: tuple[str, ...] | None = ()
    taxes: tuple[TaxAmount, ...] = ()
    notes: tuple[NoteApplication, ...] = ()
    early: tuple[ProgressiveCredit, ...] = ()

    @property
    def progressive_credit_minor(self) -> int:
        return sum(line.progressive_credit_minor for line in self.lines)

    @property
    def coupons_minor(self) -> int:
        return sum(one.amount_minor for one in self.coupons)

    @property
    def subtotal_minor(self) -> int:
        return sum(line.net_minor for line in self.lines)

    @property
    def tax_minor(self) -> int:
        return sum(tax.amount_minor for tax in self.taxes)

    @property
    def gross_minor(self) -> int:
        return self.subtotal_minor + self.tax_minor

    @property
    def credit_notes_minor(self) -> int:
        return sum(note.amount_minor for note in self.notes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """An invoice as stored; `lines` and `taxes` are empty where a list left them out.

    `seller` and `buyer` are those of today while it is a draft, then frozen. `revision` grows
    with every reason to rate a draft again, `refreshed_revision` is the one that its lines show.
    One that `requires_payment` is open, without a number, until it is paid.
    """

    invoice_id: UUID
    status: Status
    customer_id: str
    currency: str
    group_day: date
    time_zone: str
    finalize_at: datetime
    created_at: datetime
    number: str = ""
    progressive_credit_minor: int = 0
    coupons_minor: int = 0
    subtotal_minor: int = 0
    tax_minor: int = 0
    credit_notes_minor: int = 0
    credits_minor: int = 0
    total_minor: int = 0
    period: Period | None = None
    issue_date: date | None = None
    due_date: date | None = None
    finalized_at: datetime | None = None
    trace_id: str = ""
    content_hash: bytes = b""
    revision: int = 0
    refreshed_revision: int = 0
    requires_payment: bool = False
    trace_headers: dict[str, str]
    kind: Kind = Kind.SUBSCRIPTION
    alone: UUID | None = None  # The period, or crossing of thresholds, that it is for alone.
    seller: Party
    buyer: Party
    entity_code: str = ENTITY_CODE
    lines: tuple[Line, ...] = ()
    coupons: tuple[CouponUse, ...] = ()
    taxes: tuple[TaxAmount, ...] = ()
    early: tuple[ProgressiveCredit, ...] = ()
    notes: tuple[AppliedNote, ...] = ()
    voiding: Voiding | None = None
    reissue_of: UUID | None = None
    receivable: Receivable | None = None  # Once it asks for something; no part of the document.

    @property
    def payment_status(self) -> InvoicePaymentStatus:
        return self.receivable.status if self.receivable else InvoicePaymentStatus.NONE

    @property
    def asks_for(self) -> Receivable:
        """What it asks for, once it is frozen and paid for from wallets."""
        asked = self.receivable or Receivable(
            invoice_id=self.invoice_id, total_minor=self.total_minor
        )
        if self.due_date is None:
            return asked
        return replace(asked, overdue_at=overdue_at(self.due_date, self.time_zone))

    @property
    def due_minor(self) -> int:
        """What is to be paid of it: nothing once it is voided."""
        if self.receivable is None or self.status is Status.VOIDED:
            return 0
        return self.receivable.due_minor


@dataclass(frozen=True, slots=True)
class ProgressiveCredit:
    """What an invoice takes off its lines as a progressive one billed it before."""

    invoice_id: UUID
    amount_minor: int
    number: str = ""  # As documents show it; not part of what is billed.


@dataclass(frozen=True, slots=True)
class AppliedNote:
    """A credit note that paid some of an invoice, as its document shows it."""

    credit_note_id: UUID
    number: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class SettledPeriod:
    """A closed period that a frozen invoice bills for good, with lines or without."""

    period_id: UUID
    subscription_id: str
    period: Period


@dataclass(frozen=True, slots=True)
class Credit:
    """A part of a line that a wallet's grant paid."""

    line_id: UUID
    wallet_id: UUID
    grant_id: UUID
    amount_minor: int
    captured: bool


def group_of(
    customer_id: str, currency: str, *, due_at: datetime, zone: str, entity_code: str = ENTITY_CODE
) -> Group:
    """Return the invoice that a period due at `due_at` goes on, by the customer's zone."""
    day = local_day(due_at, ZoneInfo(zone))
    return Group(customer_id, currency, day, entity_code=entity_code)


def compose(
    invoice_id: UUID,
    rated: Iterable[RatedPeriod],
    early_minor: Mapping[UUID, int] | None = None,
) -> Content:
    """Return the lines of an invoice of these periods. Their sum is not negative.

    `early_minor` is what progressive invoices billed before, by line.
    """
    return Content(tuple(with_credits(lines_of(invoice_id, rated), early_minor or {})))


def with_coupons(content: Content, used: Sequence[CouponUse]) -> Content:
    """Return `content` less coupons: before tax."""
    shares = share_out(exact_shares(content.lines, used))
    lines = (
        replace(line, coupons_minor=share)
        for line, share in zip(content.lines, shares, strict=True)
    )
    return replace(content, lines=tuple(lines), coupons=tuple(used))


def with_taxes(content: Content, terms: TaxTerms) -> Content:
    """Return `content` with its taxes, on what coupons leave of each line exactly."""
    coupons = exact_shares(content.lines, content.coupons)
    net = [line.charged_minor - part for line, part in zip(content.lines, coupons, strict=True)]
    borne = [terms.borne(line.fee.tax_codes) for line in content.lines]
    taxation = tax_lines(net, borne)
    lines = (
        replace(line, tax_codes=tuple(tax.code for tax in of_line), tax_share_minor=share)
        for line, of_line, share in zip(content.lines, borne, taxation.shares_minor, strict=True)
    )
    return replace(
        content,
        lines=tuple(lines),
        default_tax_codes=terms.default_codes,
        taxes=taxation.taxes,
    )


def with_early(content: Content, credits: Sequence[ProgressiveCredit]) -> Content:
    """Return `content` with the progressive invoices that its lines were billed on before."""
    return replace(content, early=tuple(credits))


def with_notes(content: Content, notes: Sequence[NoteApplication]) -> Content:
    """Return `content` of which `notes` pay some: after tax, and before prepaid credits."""
    applied = sum(note.amount_minor for note in notes)
    shares = spread_notes(applied, [line.gross_minor for line in content.lines])
    lines = (
        replace(line, credit_notes_minor=share)
        for line, share in zip(content.lines, shares, strict=True)
    )
    return replace(content, lines=tuple(lines), notes=tuple(notes))


def choose_adjustments(
    subtotal_minor: int, adjustments: Iterable[RatedPeriod]
) -> tuple[list[RatedPeriod], list[RatedPeriod]]:
    """Split into the adjustments that fit on an invoice of `subtotal_minor`, and those that wait.

    What is still owed comes first, then what is given back, oldest first, each as a whole and for
    as long as the subtotal does not fall below zero: 100 takes +20 and -110, but not -130.
    """
    taken: list[RatedPeriod] = []
    waiting: list[RatedPeriod] = []
    order = sorted(
        adjustments,
        key=lambda one: (one.amount_minor < 0, one.period.start, one.period_id, one.sequence),
    )
    for adjustment in order:
        if subtotal_minor + adjustment.amount_minor >= 0:
            subtotal_minor += adjustment.amount_minor
            taken.append(adjustment)
        else:
            waiting.append(adjustment)
    return taken, waiting


def issue_date(
    billing_day: date, finalized_day: date, anchor: IssueAnchor, adjustment: IssueAdjustment
) -> date:
    """Return the day that an invoice of billing periods is dated, all days being the customer's.

    It waits for the finalization, or is that of the anchor: the day on which its periods became
    due, or the one before, which is the last of a period that was billed at its end.
    """
    if adjustment is IssueAdjustment.ALIGN_WITH_FINALIZATION:
        return finalized_day
    at_end = anchor is IssueAnchor.CURRENT_PERIOD_END
    return billing_day - timedelta(days=1) if at_end else billing_day
