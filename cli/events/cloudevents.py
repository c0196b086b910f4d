"""CloudEvents 1.0 in structured JSON, as rows by the names of our own fields.

    id, source, type, time   the same
    subject                  customer_id
    data                     properties
    subscriptionid, amount, holdid   extensions: subscription_id, amount, hold_id

Other extensions, and what says how data is written, are not kept.
"""

from __future__ import annotations

from cli.events.event import Row, RowFault, Unreadable

VERSION = "1.0"
NAMES = {
    "id": "id",
    "source": "source",
    "type": "type",
    "time": "time",
    "subject": "customer_id",
    "data": "properties",
    "subscriptionid": "subscription_id",
    "amount": "amount",
    "holdid": "hold_id",
}


def read_cloud_event(row: Row) -> Row | Unreadable:
    """Return what a CloudEvent says, by the names of our own fields."""
    given = row.values
    try:
        _check(given.get("specversion"), given.get("datacontenttype"))
        if "data_base64" in given:
            raise RowFault("data_base64: bytes have no properties")
    except RowFault as fault:
        return Unreadable(row.line, str(given.get("id") or ""), str(fault))
    return Row(row.line, {name: given[own] for own, name in NAMES.items() if own in given})


def _check(version: object, media_type: object) -> None:
    if version != VERSION:
        raise RowFault(f"specversion: {version!r} is not {VERSION!r}, so this is no CloudEvent")
    essence = str(media_type or "application/json").partition(";")[0].strip().lower()
    if essence != "application/json" and not essence.endswith("+json"):
        raise RowFault(f"datacontenttype: {media_type!r} is not JSON")
