"""What other systems state comes out here, too: a test for each topic that is done.

Stories are played apart: `make vectors`.
"""

from __future__ import annotations

import pytest

from tests.vectors import exceptions
from tests.vectors.adapters import ADAPTERS
from tests.vectors.cases import load
from tests.vectors.running import run

DONE = [
    "agg_count",
    "agg_latest",
    "agg_max",
    "agg_rounding",
    "agg_sum",
    "agg_unique_count",
    "agg_weighted_sum",
    "anniversary_periods",
    "billing_schedule",
    "charge_dynamic",
    "charge_filters",
    "charge_graduated",
    "charge_graduated_percentage",
    "charge_minimum_true_up",
    "charge_package",
    "charge_percentage",
    "charge_standard",
    "charge_volume",
    "coupons",
    "credit_notes",
    "current_usage_scenarios",
    "days_between",
    "expression",
    "grace_period",
    "invoice_numbering",
    "meteroid_discounts",
    "meteroid_pricing",
    "meteroid_proration",
    "openmeter_delta",
    "openmeter_discounts",
    "openmeter_dynamic",
    "openmeter_graduated",
    "openmeter_package",
    "openmeter_unit",
    "openmeter_volume",
    "pay_in_advance_fees",
    "period_boundaries",
    "prepaid_credits",
    "progressive_billing",
    "prorated_graduated",
    "prorated_sum",
    "prorated_unique_count",
    "taxes",
    "wallet_priority",
    "wallet_topup_rules",
    "wallet_traceability",
]


@pytest.mark.parametrize("topic", DONE)
def test_every_case_of_the_topic_comes_out_as_stated(topic: str) -> None:
    functions = [case for case in load(names=[topic]) if not case.is_story]
    outcome = run(functions, ADAPTERS, exceptions.load())
    assert not outcome.failures, "\n" + "\n".join(outcome.failures)


def test_a_topic_with_an_adapter_is_done() -> None:
    assert sorted(ADAPTERS) == sorted(DONE)
