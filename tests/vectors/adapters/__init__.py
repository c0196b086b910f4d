"""Adapters by topic."""

from tests.vectors.adapters import (
    anniversaries,
    charges,
    expression,
    filters,
    meteroid,
    minimums,
    openmeter,
    plan_changes,
    proration,
    units,
)
from tests.vectors.running import Adapter

ADAPTERS: dict[str, Adapter] = {
    "agg_rounding": units.round_one,
    "anniversary_periods": anniversaries.find_period,
    "charge_dynamic": charges.price_charge,
    "charge_filters": filters.charge_by_filter,
    "charge_graduated": charges.price_charge,
    "charge_graduated_percentage": charges.price_charge,
    "charge_minimum_true_up": minimums.true_up,
    "charge_package": charges.price_charge,
    "charge_percentage": charges.price_percentage,
    "charge_standard": charges.price_charge,
    "charge_volume": charges.price_charge,
    "days_between": units.count_days,
    "expression": expression.evaluate_one,
    "meteroid_discounts": meteroid.discount,
    "meteroid_pricing": meteroid.price_units,
    "meteroid_proration": plan_changes.change_plan,
    "openmeter_delta": openmeter.rerate,
    "openmeter_discounts": openmeter.discount,
    "openmeter_dynamic": openmeter.price_line,
    "openmeter_graduated": openmeter.price_line,
    "openmeter_package": openmeter.price_line,
    "openmeter_unit": openmeter.price_line,
    "openmeter_volume": openmeter.price_line,
    "prorated_graduated": proration.graduated_price,
    "prorated_sum": proration.sum_usage,
    "prorated_unique_count": proration.unique_usage,
}
