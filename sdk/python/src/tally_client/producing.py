"""Recording events one by one, and sending many at once: what `Tally.producer()` gives."""

from tally_client._async_producer import AsyncProducer
from tally_client._event_rows import InvalidEvent
from tally_client._producer import Producer
from tally_client._producing import (
    BufferFull,
    NotSent,
    ProducerClosed,
    ProducerError,
    ProducerReport,
    ProducerSettings,
    Rejected,
)

__all__ = [
    "AsyncProducer",
    "BufferFull",
    "InvalidEvent",
    "NotSent",
    "Producer",
    "ProducerClosed",
    "ProducerError",
    "ProducerReport",
    "ProducerSettings",
    "Rejected",
]
