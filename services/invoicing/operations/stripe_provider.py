"""Stripe as a payment provider: PaymentIntents that are confirmed without the customer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import stripe

from libs.errors import InvalidInput, Unavailable
from libs.money import Money, exponent
from services.invoicing.domain.charging import Charge, Notice, Outcome, ProviderEvent
from services.invoicing.domain.payment import PaymentStatus

SECONDS_MAX = 30.0  # For one answer.
TOLERANCE_SECONDS = 300  # How old a signature may be.
# Currencies that Stripe counts in other units than ISO 4217 does.
WHOLE = frozenset("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split())
HUNDREDTHS = frozenset(("ISK", "UGX"))
# What may be different the next time it is asked.
PASSING = (stripe.APIConnectionError, stripe.RateLimitError, stripe.AuthenticationError)
BEING_CHARGED = frozenset(("processing", "requires_capture"))
NOTICES = {
    "payment_intent.succeeded": Notice.SUCCEEDED,
    "payment_intent.payment_failed": Notice.FAILED,
    "payment_intent.canceled": Notice.FAILED,
    "charge.dispute.created": Notice.DISPUTED,
    "charge.refunded": Notice.REFUNDED,
}


class SignatureInvalid(InvalidInput):
    """A message that the provider did not sign, or not lately."""

    reason = "FIELD_INVALID"


class Stripe:
    """Charges cards and accounts at Stripe."""

    name = "stripe"

    def __init__(self, api_key: str, webhook_secret: str, *, base_url: str | None = None) -> None:
        self._secret = webhook_secret
        self._client = stripe.StripeClient(
            api_key,
            base_addresses={"api": base_url} if base_url else None,
            http_client=stripe.RequestsClient(timeout=SECONDS_MAX),
            max_network_retries=0,  # The loop that asks waits and asks again.
        )

    async def charge(self, charge: Charge) -> Outcome:
        """Create and confirm a PaymentIntent, once for `charge.key`.

        Raises:
            Unavailable: Stripe cannot be asked now.
        """
        amount = stripe_amount(charge.amount)
        if amount is None:
            return Outcome(PaymentStatus.FAILED, "", "amount_not_chargeable")
        try:
            intent = await asyncio.to_thread(self._create, charge, amount)
        except PASSING as error:
            raise Unavailable(f"Stripe cannot be asked: {error.user_message}") from error
        except stripe.CardError as error:
            declined = error.error.payment_intent if error.error else None
            reference = declined.id if declined else ""
            return Outcome(PaymentStatus.FAILED, reference, decline_code(error))
        except stripe.InvalidRequestError as error:
            return Outcome(PaymentStatus.FAILED, "", error.code or "invalid_request")
        except stripe.StripeError as error:
            raise Unavailable(f"Stripe answered {error.http_status}") from error
        return outcome_of(intent.to_dict())

    def _create(self, charge: Charge, amount: int) -> stripe.PaymentIntent:
        return self._client.v1.payment_intents.create(
            {
                "amount": amount,
                "currency": charge.amount.currency.lower(),
                "customer": charge.method.provider_customer_id,
                "payment_method": charge.method.provider_method_id,
                "confirm": True,
                "off_session": True,
                "metadata": {
                    "tally_tenant": str(charge.tenant),
                    "tally_payment_id": str(charge.payment_id),
                    "tally_invoice_id": str(charge.invoice_id),
                },
            },
            {"idempotency_key": charge.key},
        )

    def read_event(self, body: bytes, signature: str) -> ProviderEvent | None:
        """Return what a signed message tells; None: nothing about a charge.

        Raises:
            SignatureInvalid: Stripe did not sign it, or more than five minutes ago.
        """
        try:
            stripe.WebhookSignature.verify_header(
                body.decode(), signature, self._secret, TOLERANCE_SECONDS
            )
            message = json.loads(body)
        except (stripe.SignatureVerificationError, ValueError) as error:
            raise SignatureInvalid(f"the message is not Stripe's: {error}") from error
        return read_message(message)


def stripe_amount(money: Money) -> int | None:
    """Return an amount in Stripe's units; None: it has no such amount.

    JPY 5 is 5 and EUR 5.00 is 500 in both; MGA 5.00, 500 minor units, is 5, and UGX 5 is 500.
    """
    if money.currency in WHOLE:
        places = 0
    else:
        places = 2 if money.currency in HUNDREDTHS else exponent(money.currency)
    shift = places - exponent(money.currency)
    if shift >= 0:
        return int(money.amount_minor * 10**shift)
    amount, rest = divmod(money.amount_minor, 10**-shift)
    return None if rest else amount


def outcome_of(intent: Mapping[str, Any]) -> Outcome:
    """Return what became of a PaymentIntent."""
    reference = str(intent["id"])
    match intent["status"]:
        case "succeeded":
            return Outcome(PaymentStatus.SUCCEEDED, reference)
        case status if status in BEING_CHARGED:
            return Outcome(PaymentStatus.PROCESSING, reference)
        case "requires_action":
            return Outcome(PaymentStatus.FAILED, reference, "authentication_required")
        case status:
            error = intent.get("last_payment_error") or {}
            code = error.get("decline_code") or error.get("code") or status
            return Outcome(PaymentStatus.FAILED, reference, str(code))


def decline_code(error: stripe.CardError) -> str:
    """Return why a card was declined, as precisely as Stripe says."""
    told = error.error.decline_code if error.error else None
    return str(told or error.code or "card_declined")


def read_message(message: Mapping[str, Any]) -> ProviderEvent | None:
    """Return what a message of a webhook tells; None: nothing about a charge."""
    about = message["data"]["object"]
    notice = NOTICES.get(message["type"])
    if message["type"] == "charge.dispute.closed" and about["status"] in ("won", "warning_closed"):
        notice = Notice.DISPUTE_WON
    intent = about["id"] if about["object"] == "payment_intent" else about.get("payment_intent")
    if notice is None or not intent:
        return None
    labels = about.get("metadata") or {}
    tenant, payment_id = labels.get("tally_tenant"), labels.get("tally_payment_id")
    failure = outcome_of(about).failure_code if notice is Notice.FAILED else ""
    return ProviderEvent(
        notice=notice,
        reference=str(intent),
        told_at=datetime.fromtimestamp(message["created"], UTC),
        tenant=int(tenant) if tenant else None,
        payment_id=UUID(payment_id) if payment_id else None,
        failure_code=failure,
    )
