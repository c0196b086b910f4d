"""Keys: different identities never share one, and time-ordered ids keep their order."""

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.identity import event_key

SECRET = bytes(range(32))
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

hexadecimal = st.text("0123456789abcdef", min_size=32, max_size=32)
uuids = hexadecimal.map(lambda h: f"{h[:8]}-{h[8:12]}-7{h[13:16]}-8{h[17:20]}-{h[20:]}")
ulids = st.builds(
    "{}{}".format, st.sampled_from(ALPHABET[:8]), st.text(ALPHABET, min_size=25, max_size=25)
)
ids = st.one_of(uuids, ulids, uuids.map(str.upper), ulids.map(str.lower), st.text(max_size=30))
identities = st.tuples(st.text(max_size=5), ids)


@given(identities, identities)
def test_two_identities_have_two_keys(one: tuple[str, str], other: tuple[str, str]) -> None:
    keys = event_key(*one, SECRET), event_key(*other, SECRET)
    assert len(keys[0]) == 16
    assert (keys[0] == keys[1]) == (one == other)


@given(uuids, uuids)
def test_keys_sort_as_uuids_do(one: str, other: str) -> None:
    keys = event_key("", one, SECRET), event_key("", other, SECRET)
    assert (keys[0] < keys[1]) == (one < other)
