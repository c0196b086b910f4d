"""Keys: which identity gets which 16 bytes."""

from uuid import UUID

from libs.partition import partition_of
from services.ingest.domain.identity import event_key

SECRET = bytes(range(32))
UUID_V7 = "019b0000-1234-7abc-8def-0123456789ab"
UUID_V4 = "019b0000-1234-4abc-8def-0123456789ab"
ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def test_a_uuid_v7_without_a_source_is_its_own_key() -> None:
    assert event_key("", UUID_V7, SECRET) == UUID(UUID_V7).bytes


def test_a_ulid_without_a_source_is_its_own_key() -> None:
    # Its first ten characters, 01ARZ3NDEK, are 1469922850259 ms.
    key = event_key("", ULID, SECRET)
    assert len(key) == 16
    assert int.from_bytes(key[:6], "big") == 1_469_922_850_259
    assert key != event_key("", ULID[:-1] + "W", SECRET)


def test_other_ids_are_hashed_under_the_secret() -> None:
    for event_id in ("e1", UUID_V4, "x" * 255):
        key = event_key("", event_id, SECRET)
        assert len(key) == 16
        assert key != event_key("", event_id, bytes(32))
    assert event_key("", UUID_V4, SECRET) != UUID(UUID_V4).bytes


def test_a_hashed_key_keeps_the_time_of_a_time_ordered_id() -> None:
    own = UUID(UUID_V7).bytes
    with_source = event_key("eu", UUID_V7, SECRET)
    upper = event_key("", UUID_V7.upper(), SECRET)
    assert with_source[:6] == upper[:6] == own[:6]
    assert len({own, with_source, upper, event_key("us", UUID_V7, SECRET)}) == 4
    assert event_key("", ULID.lower(), SECRET)[:6] == event_key("", ULID, SECRET)[:6]
    assert event_key("", ULID.lower(), SECRET) != event_key("", ULID, SECRET)


def test_a_ulid_with_the_bits_of_a_uuid_v7_does_not_take_its_key() -> None:
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    value, digits = UUID(UUID_V7).int, ""
    for _ in range(26):
        value, digit = divmod(value, 32)
        digits = alphabet[digit] + digits
    assert event_key("", digits, SECRET) != event_key("", UUID_V7, SECRET)
    assert event_key("", digits, SECRET)[:6] == event_key("", UUID_V7, SECRET)[:6]


def test_source_and_id_do_not_run_into_each_other() -> None:
    assert event_key("a", "bc", SECRET) != event_key("ab", "c", SECRET)
    assert event_key("", "1:x", SECRET) != event_key("x", "", SECRET)


def test_a_customer_stays_on_one_partition_and_customers_spread() -> None:
    assert partition_of(1, "acme", 4) == partition_of(1, "acme", 4)
    assert {partition_of(1, f"customer-{n}", 4) for n in range(100)} == {0, 1, 2, 3}
    assert partition_of(1, "acme", 1) == 0
