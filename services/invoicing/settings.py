"""Settings of the invoicing service, read once from the environment at start-up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from libs.settings import ServiceSettings, require
from services.invoicing.domain.charging import RETRY_DAYS, RETRY_DAYS_MAX

RATING_ADDRESS = "INVOICING_RATING_ADDRESS"
WALLET_ADDRESS = "INVOICING_WALLET_ADDRESS"
STRIPE_API_KEY = "INVOICING_STRIPE_API_KEY"
STRIPE_WEBHOOK_SECRET = "INVOICING_STRIPE_WEBHOOK_SECRET"  # The variable's name.
PROVIDER_EVENTS_ADDRESS = "INVOICING_PROVIDER_EVENTS_ADDRESS"
RETRY_DAYS_NAME = "INVOICING_RETRY_DAYS"
WEBHOOK_PRIVATE = "INVOICING_WEBHOOK_PRIVATE"


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeSettings:
    """The account at Stripe that invoices are charged with."""

    api_key: str
    base_url: str | None  # None: Stripe's own.
    webhook_secret: str  # What its messages are signed with.
    events_address: str  # host:port where its messages are taken.


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that an invoicing process is told from outside."""

    service: ServiceSettings
    rating_address: str  # host:port
    wallet_address: str  # host:port
    stripe: StripeSettings | None = None  # None: no payment provider is asked.
    retry_days: tuple[int, ...] = RETRY_DAYS  # From each failed attempt to the next.
    webhook_private: bool = False  # Webhooks may be sent into private networks.

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read INVOICING_* variables and NATS_URL.

        Raises:
            SystemExit: a sentence naming every missing variable at once, or one that is wrong.
        """
        peers = (RATING_ADDRESS, WALLET_ADDRESS)
        service = ServiceSettings.from_env("invoicing", env, also=peers)
        found = require(env, peers)
        return cls(
            service=service,
            rating_address=found[RATING_ADDRESS],
            wallet_address=found[WALLET_ADDRESS],
            stripe=read_stripe(env),
            retry_days=read_retry_days(env),
            webhook_private=read_webhook_private(env),
        )


def read_stripe(env: Mapping[str, str]) -> StripeSettings | None:
    """Read INVOICING_STRIPE_*; None without INVOICING_STRIPE_API_KEY.

    Raises:
        SystemExit: a sentence naming every variable that is missing beside it.
    """
    if not env.get(STRIPE_API_KEY):
        return None
    found = require(env, (STRIPE_API_KEY, STRIPE_WEBHOOK_SECRET, PROVIDER_EVENTS_ADDRESS))
    return StripeSettings(
        api_key=found[STRIPE_API_KEY],
        base_url=env.get("INVOICING_STRIPE_BASE_URL") or None,
        webhook_secret=found[STRIPE_WEBHOOK_SECRET],
        events_address=found[PROVIDER_EVENTS_ADDRESS],
    )


def read_retry_days(env: Mapping[str, str]) -> tuple[int, ...]:
    """Read INVOICING_RETRY_DAYS, "1,3,5,7"; "none" for no retries.

    Raises:
        SystemExit: it is something else.
    """
    text = env.get(RETRY_DAYS_NAME, "").strip()
    if not text:
        return RETRY_DAYS
    if text == "none":
        return ()
    days = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
    if not all(1 <= one <= RETRY_DAYS_MAX for one in days):
        raise SystemExit(
            f"{RETRY_DAYS_NAME} is {text!r}: set it to numbers of days from 1 to"
            f" {RETRY_DAYS_MAX} with commas between, or to none."
        )
    return tuple(days)


def read_webhook_private(env: Mapping[str, str]) -> bool:
    """Read INVOICING_WEBHOOK_PRIVATE: "allow", or nothing.

    Raises:
        SystemExit: it is something else.
    """
    text = env.get(WEBHOOK_PRIVATE, "").strip()
    if text not in ("", "allow"):
        raise SystemExit(f"{WEBHOOK_PRIVATE} is {text!r}: set it to allow, or leave it out.")
    return text == "allow"
