"""Bytes that are no message, or not quite one."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

LENGTH_DELIMITED, START_GROUP, END_GROUP = 2, 3, 4
FIELD = st.integers(1, 20)
INVALID_TEXTS = [b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"a\xf4\x90\x80\x80", b"\xe2\x82"]
DEPTHS = [1, 99, 101, 5_000, 100_000]

raw = st.one_of(
    st.binary(max_size=200),
    st.binary(min_size=1, max_size=8).map(lambda some: some * 20_000),
    st.sampled_from(DEPTHS).map(lambda depth: nested(1, depth)),
)


def varint(number: int) -> bytes:
    """Write a number as protobuf does: seven bits a byte, the least first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def tag(field: int, kind: int) -> bytes:
    """Write what stands before a field's value."""
    return varint(field << 3 | kind)


def delimited(field: int, content: bytes) -> bytes:
    """Write a field that holds text, bytes or a message."""
    return tag(field, LENGTH_DELIMITED) + varint(len(content)) + content


def nested(field: int, depth: int) -> bytes:
    """Write groups in groups, which no message of ours has."""
    return tag(field, START_GROUP) * depth + tag(field, END_GROUP) * depth


@st.composite
def mutated(draw: Any, contents: st.SearchStrategy[bytes]) -> bytes:
    """Serialized requests with one or two things done to their bytes."""
    content: bytes = draw(contents)
    for _ in range(draw(st.integers(1, 2))):
        content = _mutate(draw, content)
    return content


def _mutate(draw: Any, content: bytes) -> bytes:
    place = draw(st.integers(0, min(len(content), 4_096)))
    field = draw(FIELD)
    match draw(st.sampled_from("cut flip insert repeat unknown group text length kind".split())):
        case "cut":
            return content[:place]
        case "flip":
            other: bytes = draw(st.binary(min_size=1, max_size=1))
            return content[:place] + other + content[place + 1 :]
        case "insert":
            more: bytes = draw(st.binary(max_size=9))
            return content[:place] + more + content[place:]
        case "repeat":
            return content[:place] + content
        case "unknown":
            return content + delimited(draw(st.integers(500, 2**29 - 1)), b"\xff" * 100)
        case "group":
            return content + nested(field, draw(st.sampled_from(DEPTHS)))
        case "text":
            return content + delimited(field, draw(st.sampled_from(INVALID_TEXTS)))
        case "length":
            return content + tag(field, LENGTH_DELIMITED) + varint(2**63 - 1)
    return content + tag(field, draw(st.integers(0, 7))) + b"\xff" * 9 + b"\x01"
