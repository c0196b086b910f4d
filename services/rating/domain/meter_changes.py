"""What of a meter may change: all of it until a plan version charges it, little from then on."""

from __future__ import annotations

from services.rating.domain.meter import Dimension, Meter, MeterInUse

# What decides which events a meter counts, in which cells, and as how much.
COUNTING = ("event_type", "aggregation", "value_property", "expression", "value_input", "fan_out")
# What decides what cells come to.
READING = ("rounding", "percentile", "recurring", "day_bucket")


def check_changes(old: Meter, new: Meter) -> None:
    """Check that `new` comes to the same as `old`, which plan versions charge, for all events.

    Its name may be another, and values may be added to its dimensions, or any be allowed: what was
    counted, and what filters of charges take of it, stays as it is.

    Raises:
        MeterInUse: with every field that may not change.
    """
    changed = [name for name in (*COUNTING, *READING) if getattr(old, name) != getattr(new, name)]
    if not _extends(old.dimensions, new.dimensions):
        changed.append("dimensions")
    if changed:
        fields = ", ".join(f"meter.{name}" for name in changed)
        raise MeterInUse(
            f"{fields} may not change: plan versions charge the meter {old.code}. Its name may,"
            " and values may be added to its dimensions",
            metadata={"fields": fields},
        )


def counts_anew(old: Meter, new: Meter) -> bool:
    """Tell whether what was counted by `old` is not what `new` counts."""
    keys = [[each.key for each in meter.dimensions] for meter in (old, new)]
    return keys[0] != keys[1] or any(getattr(old, name) != getattr(new, name) for name in COUNTING)


def _extends(old: tuple[Dimension, ...], new: tuple[Dimension, ...]) -> bool:
    return len(old) == len(new) and all(map(_allows_more, old, new))


def _allows_more(was: Dimension, is_: Dimension) -> bool:
    """Tell whether a dimension allows all that it did: without values it allows any."""
    if was.key != is_.key:
        return False
    return not is_.values or (bool(was.values) and set(was.values) <= set(is_.values))
