"""Adapters by topic."""

from tests.vectors.adapters import charges
from tests.vectors.running import Adapter

ADAPTERS: dict[str, Adapter] = {
    "charge_dynamic": charges.price_charge,
    "charge_graduated": charges.price_charge,
    "charge_graduated_percentage": charges.price_charge,
    "charge_package": charges.price_charge,
    "charge_percentage": charges.price_percentage,
    "charge_standard": charges.price_charge,
    "charge_volume": charges.price_charge,
}
