"""The PDF shows what the invoice says, the same bytes every time, and nothing users can inject."""

import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from uuid import UUID

import pypdfium2
import pytest

from services.invoicing.document import formats
from services.invoicing.document.render import Format, render_credit_note, render_invoice
from services.invoicing.domain.coupon import CouponUse, OpenCoupon
from services.invoicing.domain.credit_note import NoteStatus
from services.invoicing.domain.discounts import PercentOff
from services.invoicing.domain.invoice import AppliedNote, Invoice
from services.invoicing.domain.line import BreakdownRow, FeeKind
from tests.unit.invoicing import examples
from tests.unit.invoicing.samples import (
    BUYER,
    amount_fee,
    billed,
    draft,
    electricity,
    finalized,
    rated,
    row,
    usage_fee,
)


def pages(invoice: Invoice) -> list[str]:
    """Return the text of each page, with lines joined."""
    return pages_of(render_invoice(invoice).content)


def pages_of(content: bytes) -> list[str]:
    document = pypdfium2.PdfDocument(content)
    return [" ".join(page.get_textpage().get_text_range().split()) for page in document]


def test_the_same_invoice_gives_the_same_bytes() -> None:
    invoice = finalized(billed(electricity()), credits_minor=500_000)
    assert render_invoice(invoice) == render_invoice(invoice)


def test_the_page_shows_number_parties_lines_and_totals() -> None:
    [page] = pages(finalized(billed(electricity()), credits_minor=500_000))
    for expected in (
        "INV-201402-007",
        "Tally Energy Pty Ltd",
        "Yarra Manufacturing & Sons",
        "1 \N{EN DASH} 31 January 2014",
        "Energy workday 2,320.4375 tiered 202,871.68",
        "Over 1,500 820.4375 78.125 + 25.00 64,121.6796875",
        "Adjustment of meter-3065-01",
        "Subtotal A$245,828.73",
        "GST 10% on A$245,828.73 A$24,582.87",
        "Paid from prepaid credits \N{MINUS SIGN}A$5,000.00",
        "Total due A$265,411.60",
        "Please pay by 15 February 2014.",
        "page 1 of 1",
    ):
        assert expected in page
    assert "DRAFT" not in page


def test_credit_notes_stand_between_tax_and_prepaid_credits() -> None:
    whole = finalized(billed([rated([amount_fee(10_000)])]), credits_minor=2_000)
    note = AppliedNote(UUID(int=1), "INV-CN-201401-003", 5_000)
    noted = replace(whole, notes=(note,), credit_notes_minor=5_000, total_minor=4_000)
    [page] = pages(noted)
    assert (
        "GST 10% on A$100.00 A$10.00 Credit note INV-CN-201401-003 \N{MINUS SIGN}A$50.00"
        " Paid from prepaid credits \N{MINUS SIGN}A$20.00 Total due A$40.00"
    ) in page


def test_coupons_stand_above_the_subtotal_and_why_there_is_no_tax_is_said() -> None:
    whole = finalized(billed([rated([amount_fee(10_000)])], taxes=()))
    coupon = OpenCoupon(
        applied_coupon_id=UUID(int=1), code="s", name="Spring", discount=PercentOff(Decimal("2.5"))
    )
    shown = replace(
        whole,
        coupons=(CouponUse(coupon, 250),),
        subtotal_minor=9_750,
        buyer=replace(BUYER, tax_note="Reverse charge: Article 196"),
    )
    [page] = pages(shown)
    assert "Coupon Spring 2.5% \N{MINUS SIGN}A$2.50 Subtotal A$97.50" in page
    assert "Reverse charge: Article 196" in page


def test_steps_of_every_kind_of_price_are_named() -> None:
    rows = [
        replace(row("350.5", "0", label="prorated"), up_to=Decimal(400)),
        row("350", "0", label="converted"),
        row("40", "0", label="free"),
        row("310", "0.02", label="percentage"),
        row("3", "0.1", label="fixed"),
        row("0", "0", label="minimum", flat="0.2"),
        row("0", "0", label="maximum", flat="-1.1"),
        row("0", "0", label="discount", flat="-0.002"),
        row("1", "4.8", label="custom"),
    ]
    each = replace(
        usage_fee("payments", rows, description="Payments"),
        group_values=(("card", "visa"), ("region", "")),
    )
    share = Decimal("19.354838709677419354838709677419")
    lacking = replace(
        usage_fee("calls", [], description="Calls"),
        kind=FeeKind.MINIMUM,
        breakdown=(
            replace(row("20", "30", label="proration", up_to="31"), amount=share),
            row("0", "0", label="used", flat="-3.5"),
        ),
        amount_minor=1585,
    )
    brought = replace(
        usage_fee("resold", [row("43.75", "1.2", label="dynamic")], description="Resold"),
        units=Decimal(7),
    )
    [page] = pages(billed([rated([each, lacking, brought])]))
    minus = "\N{MINUS SIGN}"
    for expected in (
        "Payments card visa, without region",
        "Weighed by days, of 400 350.5 0.00 Converted units",
        "Converted units 350 0.00 Included 40 0.00 0.00 Percentage 310 2% 6.20",
        f"For each event 3 0.10 0.30 Minimum 0.20 Maximum {minus}1.10 Discount {minus}0.002",
        "By formula 1 4.80",
        "Calls minimum see below 15.85 Share of the period 20 30.00 19.354839",
        f"Charged for usage {minus}3.50",
        "Resold 7 see below 52.50 Amounts reported 43.75 \N{MULTIPLICATION SIGN} 1.2 52.50",
    ):
        assert expected in page


def test_units_of_a_fixed_charge_tell_the_days_that_are_not_billed() -> None:
    rows = [
        row("5", "10", label="tier", up_to="5", flat="3"),
        days_not_billed("15", "-53", "31"),
        row("5", "10", label="tier", up_to="5", flat="3"),
        row("3", "6", label="tier"),
        row("0", "0", label="held", flat="-1"),
        days_not_billed("16", "-70", "31"),
    ]
    lines = replace(
        usage_fee("lines", rows, description="Lines"), kind=FeeKind.FIXED, units=Decimal(8)
    )
    seats = replace(usage_fee("seats", [row("4", "10")], description="Seats"), kind=FeeKind.FIXED)
    [page] = pages(billed([rated([lines]), rated([seats], period=2)]))
    minus = "\N{MINUS SIGN}"
    for expected in (
        f"Lines 8 tiered 61.23 Up to 5 5 10.00 + 3.00 53.00 Days not billed, of 31 15 {minus}53.00"
        f" {minus}25.645161 Up to 5 5 10.00 + 3.00 53.00 Over 5 3 6.00 18.00",
        f"Units held before {minus}1.00 Days not billed, of 31 16 {minus}70.00 {minus}36.129032",
        "Seats 4 10.00 40.00",
    ):
        assert expected in page


def days_not_billed(days: str, amount: str, of_days: str) -> BreakdownRow:
    """A step that takes off the share of some days."""
    whole = row(days, amount, label="unbilled", up_to=of_days)
    return replace(whole, amount=whole.amount / Decimal(of_days))


def test_prices_in_a_custom_unit_name_it_until_they_are_converted() -> None:
    in_credits = [
        row("100", "0.5", label="tier", up_to="100", flat="10"),
        row("50", "0.25", label="tier"),
    ]
    rows = [
        *(replace(one, pricing_unit="credits") for one in in_credits),
        row("72.5", "0.02", label="currency"),
    ]
    tokens = replace(
        usage_fee("tokens", rows, description="Tokens"), units=Decimal(150), amount_minor=145
    )
    [page] = pages(billed([rated([tokens])]))
    for expected in (
        "Tokens 150 tiered 1.45 Up to 100 100 0.5 + 10 credits 60 credits",
        "Over 100 50 0.25 credits 12.5 credits",
        "Converted to currency 72.5 credits 0.02 1.45",
    ):
        assert expected in page


def test_a_correction_shows_what_was_billed_before() -> None:
    rows = [row("13", "0.1"), row("0", "0", label="billed", flat="-1.57")]
    corrected = replace(
        usage_fee("calls", rows, description="Calls"),
        kind=FeeKind.CORRECTION,
        filter_code="eu",
        amount_minor=-27,
    )
    [page] = pages(
        billed([rated([usage_fee("sms", [row("1", "5")], description="SMS"), corrected])])
    )
    assert "Calls eu, correction" in page
    assert "Billed before" in page


def test_instant_fees_have_no_price_of_a_unit_and_show_what_is_carried() -> None:
    alone = [row("0", "0", label="instant", flat="0.8")]
    both = [
        row("0", "0", label="instant", flat="0.118"),
        row("0", "0", label="carried", flat="0.002"),
    ]
    fees = [
        usage_fee("calls", alone, description="Calls"),
        usage_fee("data", both, description="Data"),
    ]
    [page] = pages(billed([rated(fees)]))
    assert "Calls 0 0.80" in page
    assert "Instant fees 0.118 Carried 0.002" in page


def test_a_draft_is_marked_and_asks_for_no_money() -> None:
    [page] = pages(billed(electricity()))
    assert "DRAFT" in page
    assert "not a request to pay" in page
    assert "Total due" not in page


def test_a_draft_without_lines_can_be_rendered() -> None:
    [page] = pages(draft())
    assert "Nothing was billed yet." in page


def test_long_invoices_number_their_pages_and_repeat_the_head_of_the_table() -> None:
    fees = [amount_fee(100, code=f"code-{place}") for place in range(120)]
    found = pages(finalized(billed([rated(fees)])))
    assert len(found) > 2
    for place, page in enumerate(found, start=1):
        assert f"page {place} of {len(found)}" in page
    assert all("DESCRIPTION" in page for page in found[:-1])
    assert "Total due A$132.00" in found[-1]


def test_what_users_write_is_shown_and_never_read_as_markup() -> None:
    hostile = '#panic("x") *bold* $a^2$ \\ "quoted" <label> @ref // no'
    buyer = replace(BUYER, name=hostile)
    lines = [rated([usage_fee("calls", [row("1", "1")], description=hostile)])]
    [page] = pages(replace(finalized(billed(lines)), buyer=buyer))
    assert page.count('#panic("x") *bold* $a^2$') == 2


@pytest.mark.parametrize(
    ("currency", "shown"),
    [
        ("USD", "$12,345.67"),
        ("JPY", "¥1,234,567"),
        ("KWD", "KWD\N{NO-BREAK SPACE}1,234.567"),
        ("IQD", "IQD\N{NO-BREAK SPACE}1,234.567"),
        ("RSD", "RSD\N{NO-BREAK SPACE}12,345.67"),
    ],
)
def test_amounts_have_the_places_of_their_currency(currency: str, shown: str) -> None:
    assert formats.money(1_234_567, currency) == shown


def test_exact_prices_keep_every_digit() -> None:
    assert formats.exact(Decimal("0.0000025"), "USD") == "0.0000025"
    assert formats.exact(Decimal("2.50000"), "USD") == "2.50"
    assert formats.exact(Decimal("1234"), "JPY") == "1,234"


def test_days_are_written_without_repeating_themselves() -> None:
    assert formats.days(date(2014, 1, 1), date(2014, 1, 2)) == "1 January 2014"
    assert formats.days(date(2014, 1, 27), date(2014, 2, 3)) == (
        "27 January \N{EN DASH} 2 February 2014"
    )
    assert formats.days(date(2013, 12, 30), date(2014, 1, 6)) == (
        "30 December 2013 \N{EN DASH} 5 January 2014"
    )


@pytest.mark.parametrize("name", examples.examples())
def test_the_examples_are_what_is_rendered(name: str) -> None:
    """`python -m tests.unit.invoicing.examples` renders them again: look at them then."""
    assert (examples.FOLDER / name).read_bytes() == examples.examples()[name]


def test_sixty_lines_go_over_pages_that_repeat_the_head_and_tell_their_number() -> None:
    found = pages(examples.long_invoice())
    assert len(found) == 3
    assert all("Description" in page or "UNIT PRICE" in page for page in found[:2])
    assert [page.rpartition("page ")[2] for page in found] == ["1 of 3", "2 of 3", "3 of 3"]
    assert "Room nights hotel Hôtel de l’Île Saint-Barthélemy 1 1 12.375 12.375" in found[0]
    whole = " ".join(found)
    assert "Reverse charge: the customer accounts for the tax" in whole
    assert "KWD 10,877.625" in whole.replace("\N{NO-BREAK SPACE}", " ")


def test_a_credit_note_shows_what_it_gives_back_of_which_invoice() -> None:
    note, invoice = examples.credit_note()
    [page] = pages_of(render_credit_note(note, invoice).content)
    for expected in (
        "On invoice INV-201402-007",
        "The meter was read twice on 14 January.",
        "Energy workday 1,200.00",
        "Coupons that were used on them \N{MINUS SIGN}A$120.00 Subtotal A$2,280.00 Tax A$228.00",
        "Total credited A$2,508.00",
    ):
        assert expected in page
    voided = replace(note, status=NoteStatus.VOIDED)
    assert (
        "This credit note was voided." in pages_of(render_credit_note(voided, invoice).content)[0]
    )


def test_html_says_the_same_and_holds_nothing_that_runs_or_is_fetched() -> None:
    whole = examples.invoice()
    evil = "<script>alert(1)</script>&\"'"
    named = replace(whole, buyer=replace(BUYER, name=evil, tax_note=evil), customer_id=evil)
    page = render_invoice(named, Format.HTML).content.decode()
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#x27;") == 3
    assert not re.search(r"(src|href|url|@import)\s*[=(]", page)
    for text in (
        "INV-201402-007",
        "Winter saver 5%",
        "249,391.02",
        "BSB 063-000",
        "64,121.6796875",
    ):
        assert text in page
    assert "DRAFT" in render_invoice(draft(), Format.HTML).content.decode()
