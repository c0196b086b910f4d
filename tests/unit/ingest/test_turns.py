"""Groups: tenants take turns, and a group has its bounds."""

from libs.tenant import Tenant
from services.ingest.operations.turns import GROUP_BYTES_MAX, Turns

ONE, TWO, THREE = Tenant(1), Tenant(2), Tenant(3)
Request = tuple[str, int, int]


def load(request: Request) -> tuple[int, int]:
    return request[1], request[2]


def queue(*waiting: tuple[Tenant, Request]) -> Turns[Request]:
    turns: Turns[Request] = Turns(load)
    for tenant, request in waiting:
        turns.add(tenant, request)
    return turns


def names(group: list[Request]) -> str:
    return "".join(name for name, _, _ in group)


def test_tenants_take_turns() -> None:
    small = [(ONE, (name, 1, 1)) for name in "abc"] + [(TWO, ("x", 1, 1)), (THREE, ("y", 1, 1))]
    turns = queue(*small)
    assert names(turns.take_group()) == "axybc"
    assert turns.take_group() == []


def test_a_flood_of_one_tenant_does_not_keep_another_out_of_the_next_group() -> None:
    turns = queue(*[(ONE, (name, 6_000, 1)) for name in "abc"], (TWO, ("x", 4_000, 1)))
    assert names(turns.take_group()) == "ax"
    assert names(turns.take_group()) == "b"
    assert names(turns.take_group()) == "c"


def test_who_does_not_fit_comes_first_in_the_next_group() -> None:
    turns = queue((ONE, ("a", 6_000, 1)), (TWO, ("x", 6_000, 1)), (ONE, ("b", 2_000, 1)))
    assert names(turns.take_group()) == "a"
    assert names(turns.take_group()) == "xb"


def test_a_request_above_the_bytes_of_a_group_is_one_by_itself() -> None:
    turns = queue((ONE, ("a", 1, GROUP_BYTES_MAX + 1)), (TWO, ("x", 1, 1)))
    assert turns.fills_a_group
    assert names(turns.take_group()) == "a"
    assert not turns.fills_a_group
    assert names(turns.take_group()) == "x"


def test_who_sends_little_is_not_in_the_large_groups_of_a_flood_but_before_them() -> None:
    flood = [(ONE, (name, 5_000, 1)) for name in "abc"]
    turns = queue(*flood, *[(TWO, (name, 100, 1)) for name in "uvwxyz"])
    assert names(turns.take_group()) == "uvwxyz"
    assert names(turns.take_group()) == "ab"
    assert names(turns.take_group()) == "c"


def test_many_who_send_little_make_full_groups() -> None:
    turns = queue(*[(Tenant(n), ("a", 1_000, 1)) for n in range(1, 13)])
    assert len(turns.take_group()) == 10


def test_a_light_group_has_requests_of_tenants_of_which_few_events_wait() -> None:
    flood = [(ONE, (name, 600, 1)) for name in "ab"]
    turns = queue(*flood, *[(TWO, (name, 400, 1)) for name in "xy"], (THREE, ("u", 300, 1)))
    assert names(turns.take_light_group()) == "xu"
    assert names(turns.take_light_group()) == "y"
    assert turns.take_light_group() == []
    assert names(turns.take_group()) == "ab"
