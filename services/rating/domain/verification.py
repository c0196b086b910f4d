"""How stored usage and frozen fees differ from what they are when they are computed again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from libs.difference import Difference, Names, compared
from libs.money import EXACT
from libs.partition import partition_of
from services.rating.domain.cell import Cell, CellKey
from services.rating.domain.event import instant_of
from services.rating.domain.fee import Fee, FeeKey, adjustments
from services.rating.domain.price import ZERO, amount_of

RANGES = 4096


@dataclass(frozen=True, slots=True)
class Share:
    """Customers of one rating partition: those whose place, below RANGES, is in [first, end)."""

    partition: int
    partitions: int
    first: int = 0
    end: int = RANGES

    def holds(self, tenant: int, customer_id: str) -> bool:
        """Tell whether the customer is one of them."""
        # What is left of the hash modulo the multiple is the hash modulo the partitions.
        hashed = partition_of(tenant, customer_id, self.partitions * RANGES)
        place, partition = divmod(hashed, self.partitions)
        return partition == self.partition and self.first <= place < self.end

    def halves(self) -> tuple[Share, Share] | None:
        """Return two shares that make up this one; None if it cannot be divided further."""
        if self.end - self.first < 2:
            return None
        middle = (self.first + self.end) // 2
        return (
            Share(self.partition, self.partitions, self.first, middle),
            Share(self.partition, self.partitions, middle, self.end),
        )


def cell_differences(
    key: CellKey, names: Names, stored: Cell | None, fresh: Cell | None
) -> list[Difference]:
    """Return how a stored cell differs from one that was folded again; None: there is none.

    Whose trace changed it last is not compared: attributing it again leaves a trace of its own.
    """
    if stored is None or fresh is None:
        return compared(key.tenant, "cell", names, event_count=(_events(stored), _events(fresh)))
    return compared(
        key.tenant,
        "cell",
        names,
        event_count=(stored.event_count, fresh.event_count),
        dimensions=(stored.dimensions, fresh.dimensions),
        total=(stored.total, fresh.total),
        greatest=(stored.greatest, fresh.greatest),
        latest=(stored.latest, fresh.latest),
        latest_moment=(stored.latest_moment, fresh.latest_moment),
        least=(stored.least, fresh.least),
        weighted=(stored.weighted, fresh.weighted),
        amount=(stored.amount, fresh.amount),
        last_time=(instant_of(stored.last_time), instant_of(fresh.last_time)),
        slice_number=(stored.slice_number, fresh.slice_number),
        distinct_values=_described(stored.values, fresh.values),
        levels=_described(stored.levels or {}, fresh.levels or {}),
        counts_of_values=_described(stored.counts or {}, fresh.counts or {}),
    )


def fee_differences(
    tenant: int, names: Names, frozen: Sequence[Sequence[Fee]], now: Sequence[Fee]
) -> list[Difference]:
    """Return how what was `frozen` of a period, first its close, differs from its price `now`.

    Names are those of the time of the close: a meter may be called otherwise since.
    After adjustments only their sums can be compared; before, the fees themselves.
    """
    if len(frozen) == 1:
        return _each_fee(tenant, names, frozen[0], now)
    found: list[Difference] = []
    billed = [fee for fees in frozen for fee in fees]
    prices = {fee.key: fee for fee in now}
    for wrong in adjustments(now, billed):
        price = prices.get(wrong.key)
        given = price or Fee(wrong.key, "", "", ZERO, 0, ZERO, 0, ())
        found += compared(
            tenant,
            "fee",
            {**names, **fee_names(wrong.key)},
            units=(EXACT.subtract(given.units, wrong.units), given.units),
            exact_amount=(
                EXACT.subtract(given.exact_amount, wrong.exact_amount),
                given.exact_amount,
            ),
            amount_minor=(given.amount_minor - wrong.amount_minor, given.amount_minor),
        )
    return found


def breakdown_differences(tenant: int, names: Names, fees: Iterable[Fee]) -> list[Difference]:
    """Return the frozen fees whose rows do not add up to them."""
    return [
        one
        for fee in fees
        for one in compared(
            tenant,
            "fee",
            {**names, **fee_names(fee.key)},
            exact_amount=(fee.exact_amount, amount_of(fee.rows)),
        )
    ]


def fee_names(key: FeeKey) -> Names:
    """Return what a fee is called; parts that it does not have are left out."""
    charge: Mapping[str, str] = {
        "charge_code": key.charge_code,
        "filter_code": key.filter_code,
        "group_values": ", ".join(f"{name} {value!r}" for name, value in key.group_values),
    }
    return {"fee": str(key.kind), **{name: value for name, value in charge.items() if value}}


def _each_fee(
    tenant: int, names: Names, stored: Sequence[Fee], now: Sequence[Fee]
) -> list[Difference]:
    before, after = ({fee.key: fee for fee in fees} for fees in (stored, now))
    found: list[Difference] = []
    for key in dict.fromkeys([*before, *after]):
        named = {**names, **fee_names(key)}
        was, is_ = before.get(key), after.get(key)
        if was is None or is_ is None:
            amounts = (was and was.amount_minor, is_ and is_.amount_minor)
            found += compared(tenant, "fee", named, amount_minor=amounts)
            continue
        found += compared(
            tenant,
            "fee",
            named,
            units=(was.units, is_.units),
            event_count=(was.event_count, is_.event_count),
            exact_amount=(was.exact_amount, is_.exact_amount),
            amount_minor=(was.amount_minor, is_.amount_minor),
            meter_code=(was.meter_code, is_.meter_code),
            tax_codes=(was.tax_codes, is_.tax_codes),
            breakdown=(was.rows, is_.rows),
        )
    return found


def _events(cell: Cell | None) -> int | None:
    return None if cell is None else cell.event_count


def _described(stored: Mapping[Any, Any], fresh: Mapping[Any, Any]) -> tuple[str, str]:
    """Describe parts of cells so that two descriptions are equal exactly if the parts are."""
    if stored == fresh:
        return "", ""
    keys = {key for key, _ in stored.items() ^ fresh.items()}
    return f"{len(stored)}, {len(keys)} of them otherwise", f"{len(fresh)}"
