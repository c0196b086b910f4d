"""The whole table of bad input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.contract.bad_input.billing import BILLING
from tests.contract.bad_input.changing import CHANGING
from tests.contract.bad_input.columns import COLUMNS
from tests.contract.bad_input.coupons import COUPONS
from tests.contract.bad_input.entitling import ENTITLING
from tests.contract.bad_input.ingest import INGEST
from tests.contract.bad_input.invoicing import INVOICING
from tests.contract.bad_input.paying import PAYING
from tests.contract.bad_input.rating import RATING
from tests.contract.bad_input.rules import AnyValue, Fields, Refusal, Rejection
from tests.contract.bad_input.subscriptions import SUBSCRIPTIONS
from tests.contract.bad_input.topping_up import TOPPING_UP
from tests.contract.bad_input.trying import TRYING
from tests.contract.bad_input.wallet import WALLET
from tests.contract.bad_input.webhooks import WEBHOOKS

TABLE: Mapping[str, Fields] = {
    **INGEST,
    **COLUMNS,
    **RATING,
    **SUBSCRIPTIONS,
    **CHANGING,
    **ENTITLING,
    **TRYING,
    **INVOICING,
    **PAYING,
    **BILLING,
    **WEBHOOKS,
    **COUPONS,
    **WALLET,
    **TOPPING_UP,
}


@dataclass(frozen=True, slots=True)
class Case:
    """One row: `method` with `path` set to a bad value."""

    method: str
    path: str
    kind: str
    expected: Refusal | Rejection = field(hash=False)

    def __str__(self) -> str:
        return f"{self.method.rsplit('.', 1)[-1]}.{self.path} {self.kind}"


def all_cases() -> list[Case]:
    """Every row of the table."""
    cases = []
    for method, fields in TABLE.items():
        for path, rule in fields.items():
            if isinstance(rule, AnyValue):
                continue
            for kind, value in rule.items():
                expected = value if isinstance(value, Refusal | Rejection) else Refusal(value)
                cases.append(Case(method, path, kind, expected))
    return cases
