"""The bytes of a slice: its columns as a SliceContent, compressed."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import zstandard

from services.ingest.domain.columns import Columns, Kind, PropertyColumn
from tally.ingest.v1 import segment_pb2 as pb

FORMAT = 1
ZSTD_LEVEL = 1
CONTENT_BYTES_MAX = 256 * 1024 * 1024
LIKE_NAMED = (
    "event_count",
    "indexes",
    "tenants",
    "uuids",
    "id_rows",
    "sources",
    "types",
    "customer_ids",
    "subscription_ids",
    "amounts",
    "hold_ids",
    "times",
    "times_given",
    "received_times",
)

_local = threading.local()  # A compressor is not for two threads at once.


def pack_content(columns: Columns) -> bytes:
    """Return a serialized and compressed SliceContent. The same columns give the same bytes."""
    message = pb.SliceContent(
        format=FORMAT,
        strings=columns.strings,
        ids=columns.ids,
        properties=[_property_message(column) for column in columns.properties],
        **{name: getattr(columns, name) for name in LIKE_NAMED},
    )
    return _compressed(message)


def pack_corrections(corrections: Sequence[pb.Correction]) -> bytes:
    """Return a SliceContent without events, as `pack_content` does."""
    return _compressed(pb.SliceContent(format=FORMAT, strings=[""], corrections=corrections))


def unpack_content(packed: bytes) -> Columns:
    """Return the columns in what `pack_content` made."""
    decompressor = zstandard.ZstdDecompressor()
    serialized = decompressor.decompress(packed, max_output_size=CONTENT_BYTES_MAX)
    message = pb.SliceContent.FromString(serialized)
    assert message.format == FORMAT
    return Columns(
        strings=tuple(message.strings),
        ids=tuple(message.ids),
        properties=tuple(_property_column(column) for column in message.properties),
        **{name: getattr(message, name) for name in LIKE_NAMED},
    )


def _compressed(message: pb.SliceContent) -> bytes:
    serialized = message.SerializeToString(deterministic=True)
    if not hasattr(_local, "compressor"):
        _local.compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
    packed: bytes = _local.compressor.compress(serialized)
    return packed


def _property_message(column: PropertyColumn) -> pb.PropertyColumn:
    message = pb.PropertyColumn(name=column.name, rows=column.rows)
    match column.kind:
        case Kind.TEXT:
            message.texts = column.values
        case Kind.DECIMAL:
            message.decimals.mantissas = column.values
            message.decimals.exponents = column.exponents
        case Kind.LARGE_DECIMAL:
            message.large_decimals = column.values
        case Kind.FLAG:
            message.flags = column.values
    return message


def _property_column(message: pb.PropertyColumn) -> PropertyColumn:
    name, rows = message.name, message.rows
    match message.WhichOneof("values"):
        case "texts":
            return PropertyColumn(name, Kind.TEXT, rows, message.texts)
        case "decimals":
            decimals = message.decimals
            return PropertyColumn(name, Kind.DECIMAL, rows, decimals.mantissas, decimals.exponents)
        case "large_decimals":
            return PropertyColumn(name, Kind.LARGE_DECIMAL, rows, message.large_decimals)
        case "flags":
            return PropertyColumn(name, Kind.FLAG, rows, message.flags)
        case kind:
            raise AssertionError(f"a property column of kind {kind}")
