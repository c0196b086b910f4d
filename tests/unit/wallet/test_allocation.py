"""Which wallets unbilled usage is put on."""

from __future__ import annotations

from dataclasses import replace

from services.wallet.domain.allocation import Demand, Taker, allocate
from services.wallet.domain.wallet import Scope
from tests.unit.wallet.books import a_wallet, an_id


def test_each_takes_up_to_its_balance_and_the_last_one_what_is_left() -> None:
    takers = [_taker(1, 50), _taker(2, 30)]
    assert _allocated(takers, {"calls": 100}) == {1: 50, 2: 50}


def test_one_that_is_topped_up_takes_all_that_is_left() -> None:
    takers = [_taker(1, 50), _taker(2, 10, absorbs=True), _taker(3, 90)]
    assert _allocated(takers, {"calls": 100}) == {1: 50, 2: 50, 3: 0}


def test_what_was_billed_too_early_is_taken_off_the_others() -> None:
    assert _allocated([_taker(1, 50)], {"calls": 80, "seats": -50}) == {1: 30}


def test_a_wallet_that_is_named_takes_all_and_nobody_else_does() -> None:
    takers = [_taker(1, 50), _taker(2, 30)]
    takers[1] = replace(takers[1], wallet=replace(takers[1].wallet, code="main"))
    assert allocate(takers, [Demand(("usage", "calls", "main"), 100)]) == {
        an_id(1): 0,
        an_id(2): 100,
    }
    assert allocate(takers, [Demand(("usage", "calls", "gone"), 100)]) == {
        an_id(1): 0,
        an_id(2): 0,
    }


def test_only_who_accepts_a_pool_takes_it() -> None:
    only = Scope(meter_codes=frozenset({"seats"}))
    narrow = replace(_taker(1, 50), wallet=a_wallet(1, scope=only))
    assert _allocated([narrow, _taker(2, 5)], {"calls": 40, "seats": 20}) == {1: 20, 2: 40}


def _taker(number: int, balance_minor: int, *, absorbs: bool = False) -> Taker:
    return Taker(a_wallet(number), balance_minor, absorbs)


def _allocated(takers: list[Taker], meters: dict[str, int]) -> dict[int, int]:
    demands = [Demand(("usage", meter, ""), amount) for meter, amount in meters.items()]
    return {key.int: amount for key, amount in allocate(takers, demands).items()}
