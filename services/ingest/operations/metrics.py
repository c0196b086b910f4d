"""What operators see of ingest."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

EVENTS = Counter("tally_ingest_events_total", "Events by verdict.", ["verdict"])
CORRECTIONS = Counter("tally_ingest_corrections_total", "Corrections of events.", ["kind"])
GROUP_EVENTS = Histogram(
    "tally_ingest_group_events",
    "Events in one sealing transaction, over all its requests.",
    buckets=(1, 10, 100, 1_000, 2_500, 5_000, 10_000),
)
SEAL_SECONDS = Histogram(
    "tally_ingest_seal_seconds",
    "How long sealing a group took, commit included.",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
KEY_RACES = Counter(
    "tally_ingest_key_races_total", "Probes done again because another seal stored a key first."
)
PUBLISHED = Counter("tally_ingest_published_slices_total", "Slices that NATS confirmed.")
UNPUBLISHED = Gauge("tally_ingest_unpublished_segments", "Segments that NATS has not confirmed.")
WAITING_EVENTS = Gauge("tally_ingest_waiting_events", "Events without an answer.")
WAITING_BYTES = Gauge("tally_ingest_waiting_bytes", "Bytes of their requests.")
STREAMS = Gauge("tally_ingest_streams", "Streams of batches that are open.")
PRUNED_KEYS = Counter("tally_ingest_pruned_keys_total", "Keys of old events that were deleted.")
EXPORTED_EVENTS = Counter(
    "tally_ingest_exported_events_total", "Events of months that were written to files."
)
DROPPED_EVENTS = Counter(
    "tally_ingest_dropped_events_total", "Events of months that were deleted from the log."
)
DROPPED_SEGMENTS = Counter("tally_ingest_dropped_segments_total", "Their segments.")
