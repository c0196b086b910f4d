"""What goes on an invoice, in which order, and what tells it from another."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from services.invoicing.domain.content_hash import content_hash
from services.invoicing.domain.invoice import (
    Content,
    choose_adjustments,
    group_of,
    issue_date,
)
from services.invoicing.domain.line import FeeKind, RatedPeriod
from services.invoicing.domain.party import (
    BillingEntity,
    Customer,
    Entities,
    IssueAdjustment,
    IssueAnchor,
    KnownCustomer,
)
from tests.unit.invoicing.samples import (
    GST,
    INVOICE_ID,
    amount_fee,
    base_fee,
    composed,
    electricity,
    rated,
)

NEW_YEAR = datetime(2014, 1, 31, 13, 10, tzinfo=UTC)  # 00:10 on 1 February in Melbourne.


def hashed(content: Content, *, customer: str = "c1", periods: tuple[int, ...] = (1,)) -> bytes:
    return content_hash(
        INVOICE_ID,
        content,
        customer_id=customer,
        currency="AUD",
        period_ids=[UUID(int=period) for period in periods],
    )


def adjustment(amount_minor: int, *, period: int, sequence: int = 1) -> RatedPeriod:
    return rated([amount_fee(amount_minor)], period=period, sequence=sequence)


def test_periods_due_on_one_local_day_go_on_one_invoice() -> None:
    group = group_of("c1", "AUD", due_at=NEW_YEAR, zone="Australia/Melbourne")
    assert group.day == date(2014, 2, 1)
    assert group_of("c1", "AUD", due_at=NEW_YEAR, zone="UTC").day == date(2014, 1, 31)


def test_lines_come_by_subscription_with_the_base_fee_first_and_adjustments_last() -> None:
    usage = rated([amount_fee(10)], period=1, subscription="b")
    base = rated([base_fee("5")], period=2, subscription="b")
    other = rated([amount_fee(20)], period=3, subscription="a")
    late = adjustment(-1, period=4)
    content = composed(INVOICE_ID, [late, usage, base, other], [])
    assert [line.period_id.int for line in content.lines] == [3, 2, 1, 4]


def test_a_refresh_keeps_the_ids_of_lines() -> None:
    before, after = (composed(INVOICE_ID, electricity(), [GST]) for _ in range(2))
    assert [line.line_id for line in before.lines] == [line.line_id for line in after.lines]
    assert len({line.line_id for line in before.lines}) == 6


def test_the_month_of_electricity_adds_up() -> None:
    content = composed(INVOICE_ID, electricity(), [GST])
    assert content.subtotal_minor == 18000 + 20287168 + 3299569 + 1045636 + 0 - 67500
    assert content.tax_minor == 2458287
    assert sum(line.tax_share_minor for line in content.lines) == content.tax_minor


def test_an_adjustment_waits_if_it_would_take_the_subtotal_below_zero() -> None:
    owed, back, too_much = (
        adjustment(20, period=1),
        adjustment(-110, period=2),
        adjustment(-130, period=3),
    )
    assert choose_adjustments(100, [back, owed]) == ([owed, back], [])
    assert choose_adjustments(100, [too_much, owed]) == ([owed], [too_much])


def test_fixed_charges_come_between_the_base_fee_and_usage() -> None:
    seats = replace(amount_fee(2, code="seats"), kind=FeeKind.FIXED)
    periods = [
        rated([amount_fee(1), replace(seats, charge_code="lines")], period=1),
        rated([seats], period=2),
        rated([base_fee("5")], period=3),
    ]
    content = composed(INVOICE_ID, periods, [])
    assert [line.fee.charge_code for line in content.lines] == ["", "seats", "calls", "lines"]


def test_adjustments_of_one_period_are_taken_in_their_order() -> None:
    second, first = adjustment(-5, period=1, sequence=2), adjustment(-5, period=1)
    assert choose_adjustments(5, [second, first]) == ([first], [second])


def test_an_adjustment_without_differences_fits_on_any_invoice() -> None:
    nothing = rated([], period=1, sequence=1)
    assert choose_adjustments(0, [nothing]) == ([nothing], [])


def test_the_hash_tells_amounts_customers_and_periods_apart() -> None:
    content = composed(INVOICE_ID, [rated([amount_fee(10)])], [GST])
    other = composed(INVOICE_ID, [rated([amount_fee(11)])], [GST])
    hashes = {
        hashed(content),
        hashed(other),
        hashed(content, customer="c2"),
        hashed(content, periods=(1, 2)),
        hashed(replace(content, taxes=())),
    }
    assert len(hashes) == 5
    assert hashed(content) == hashed(composed(INVOICE_ID, [rated([amount_fee(10)])], [GST]))
    assert len(hashed(content)) == 32


@pytest.mark.parametrize(
    ("anchor", "adjustment", "expected"),
    [
        (IssueAnchor.NEXT_PERIOD_START, IssueAdjustment.ALIGN_WITH_FINALIZATION, 4),
        (IssueAnchor.CURRENT_PERIOD_END, IssueAdjustment.ALIGN_WITH_FINALIZATION, 4),
        (IssueAnchor.NEXT_PERIOD_START, IssueAdjustment.KEEP_ANCHOR, 2),
        (IssueAnchor.CURRENT_PERIOD_END, IssueAdjustment.KEEP_ANCHOR, 1),
    ],
)
def test_an_invoice_is_dated_by_its_anchor_or_its_finalization(
    anchor: IssueAnchor, adjustment: IssueAdjustment, expected: int
) -> None:
    issued = issue_date(date(2014, 2, 2), date(2014, 2, 4), anchor, adjustment)
    assert issued == date(2014, 2, expected)


def test_what_a_customer_has_of_its_own_goes_before_the_entitys() -> None:
    entity = BillingEntity(grace_days=3, net_terms_days=30)
    own = Customer(customer_id="c1", grace_days=0, issue_adjustment=IssueAdjustment.KEEP_ANCHOR)
    known = KnownCustomer(own, 1, NEW_YEAR)
    assert (known.grace_days(entity), known.net_terms_days(entity)) == (0, 30)
    assert known.issue_adjustment(entity) is IssueAdjustment.KEEP_ANCHOR
    assert known.issue_anchor(entity) is IssueAnchor.NEXT_PERIOD_START


def test_a_subscription_chooses_its_seller_before_its_customer_does() -> None:
    default, two, three = (BillingEntity(code=code) for code in ("default", "two", "three"))
    entities = Entities({one.code: one for one in (default, two, three)}, default)
    buyer = Customer(customer_id="c1", entity_code="two")
    assert entities.selling_to(buyer) is two
    assert entities.selling_to(buyer, "three") is three
    assert entities.selling_to(buyer, "unknown") is two
    assert entities.selling_to(replace(buyer, entity_code="")) is default


def test_one_level_of_taxes_wins_whole() -> None:
    entity = BillingEntity(default_tax_codes=("default",))
    own = Customer(customer_id="c1", tax_codes=("own",))
    known = KnownCustomer(own, 1, NEW_YEAR)
    assert known.tax_codes(entity) == ("own",)
    assert replace(known, profile=replace(own, tax_codes=())).tax_codes(entity) == ("default",)
    assert replace(known, profile=replace(own, tax_exempt=True)).tax_codes(entity) is None


def test_exact_amounts_stand_beside_rounded_ones() -> None:
    [line] = composed(INVOICE_ID, [rated([amount_fee(123)])], []).lines
    assert (line.fee.exact_amount, line.fee.amount_minor) == (Decimal("1.23"), 123)
