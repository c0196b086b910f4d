"""Waiting gives what it waited for, or says what it saw last."""

import pytest

from tests.wait import until


async def test_it_returns_what_the_condition_gives_once_that_is_true() -> None:
    answers = iter([0, None, "", 3])
    assert await until(lambda: next(answers)) == 3


async def test_a_condition_may_be_a_coroutine_function() -> None:
    answers = iter([False, True])

    async def condition() -> bool:
        return next(answers)

    assert await until(condition) is True


async def test_a_condition_may_consist_of_asserts() -> None:
    counts = iter([1, 2])

    def condition() -> bool:
        assert (count := next(counts)) == 2, f"count is {count}"
        return True

    assert await until(condition)


async def test_at_the_deadline_it_tells_what_it_waited_for_and_saw() -> None:
    with pytest.raises(AssertionError, match=r"waited 0 s for 2 invoices; last: \[\]"):
        await until(list[str], seconds=0, describe="2 invoices")


async def test_at_the_deadline_it_tells_which_assert_failed() -> None:
    def condition() -> bool:
        raise AssertionError("count is 1")

    with pytest.raises(AssertionError, match="waited 0 s for state A; last: count is 1"):
        await until(condition, seconds=0, describe=lambda: "state A")
