"""Webhooks: which facts are sent where, how they are signed, and when they are sent again."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from uuid import UUID

from libs.errors import NotFound

FACT_TYPES = (  # Not UnbilledAmountChanged: it is for the wallet alone, and comes all the time.
    "InvoiceDrafted",
    "InvoiceFinalized",
    "InvoiceVoided",
    "InvoicePaid",
    "InvoiceOverdue",
    "InvoiceDisputed",
    "CreditNoteIssued",
    "CreditNoteVoided",
    "PaymentSucceeded",
    "PaymentFailed",
    "PaymentRequested",
)
SECRETS_OVERLAP = timedelta(hours=24)
GIVE_UP_AFTER = timedelta(days=3)
RETRY_FIRST_SECONDS = 10
RETRY_MAX_SECONDS = 6 * 60 * 60
JITTER = 1_000  # A draw is from 0 to this, without it.
NAT64 = IPv6Network("64:ff9b::/96")


class WebhookEndpointNotFound(NotFound):
    """The tenant has no such endpoint."""

    reason = "WEBHOOK_ENDPOINT_NOT_FOUND"


class WebhookDeliveryNotFound(NotFound):
    """The tenant has no such delivery."""

    reason = "WEBHOOK_DELIVERY_NOT_FOUND"


class DeliveryStatus(StrEnum):
    """What became of a delivery."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where facts are sent; `previous_secret` signs, too, until `previous_secret_until`."""

    endpoint_id: UUID
    url: str
    fact_types: tuple[str, ...]  # Empty: all.
    disabled: bool
    secret: str
    previous_secret: str
    previous_secret_until: datetime | None
    created_at: datetime

    def secrets_at(self, now: datetime) -> list[str]:
        """Return what signs at `now`, the newest first."""
        until = self.previous_secret_until
        both = until is not None and now < until
        return [self.secret, self.previous_secret] if both else [self.secret]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One fact for one endpoint; `next_attempt_at` only while it is pending."""

    delivery_id: UUID
    endpoint_id: UUID
    event_id: UUID
    fact_type: str
    payload: bytes  # The fact, as protobuf.
    status: DeliveryStatus
    attempts: int  # Those that began.
    last_status_code: int
    last_error: str
    created_at: datetime
    give_up_at: datetime
    next_attempt_at: datetime | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt: an HTTP status, or 0 and why there is none."""

    status_code: int
    error: str = ""

    @property
    def accepted(self) -> bool:
        return 200 <= self.status_code < 300


def sign(body: bytes, secrets: Sequence[str], *, timestamp: int) -> str:
    """Return the header that signs a body: "t=1700000000,v1=<hex>", one v1 for each secret.

    Each is the HMAC-SHA-256 of "<timestamp>.<body>" by the secret's UTF-8 bytes.
    """
    signed = f"{timestamp}.".encode() + body
    digests = [hmac.new(one.encode(), signed, hashlib.sha256).hexdigest() for one in secrets]
    return ",".join([f"t={timestamp}", *(f"v1={digest}" for digest in digests)])


def next_attempt_at(
    attempts: int, give_up_at: datetime, *, now: datetime, draw: int
) -> datetime | None:
    """Return when to send again after so many attempts failed; None: never.

    It waits 10 s, 20 s, 40 s up to 6 hours, less up to half of that by `draw` (0 to 999). The
    last attempt is that at `give_up_at`.
    """
    if now >= give_up_at:
        return None
    seconds = min(RETRY_MAX_SECONDS, RETRY_FIRST_SECONDS * 2 ** min(attempts - 1, 20))
    pause = timedelta(milliseconds=seconds * (JITTER - draw // 2))
    return min(now + pause, give_up_at)


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the internet, and none inside of a network.

    An IPv6 address that stands for an IPv4 one is judged by that; tunnels are refused.
    """
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address):
        inner = _inner(parsed)
        if inner is not None:
            parsed = inner
        elif parsed.sixtofour is not None or parsed.teredo is not None or parsed.is_site_local:
            return False
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


def _inner(address: IPv6Address) -> IPv4Address | None:
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped
