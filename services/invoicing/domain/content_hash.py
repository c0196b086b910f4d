"""What tells a frozen invoice from any other: a digest of all that it bills."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from uuid import UUID

from services.invoicing.domain.invoice import Content
from services.invoicing.domain.line import Line

VERSION = 3  # Of the canonical form; part of it.


def content_hash(
    invoice_id: UUID,
    content: Content,
    *,
    customer_id: str,
    currency: str,
    period_ids: Sequence[UUID],
) -> bytes:
    """Return the SHA-256 of the invoice's canonical form: JSON with sorted keys, in line order."""
    canonical = {
        "version": VERSION,
        "invoice_id": str(invoice_id),
        "customer_id": customer_id,
        "currency": currency,
        "period_ids": sorted(map(str, period_ids)),
        "lines": [line_form(line) for line in content.lines],
        "coupons": [
            [str(one.coupon.applied_coupon_id), one.amount_minor] for one in content.coupons
        ],
        "taxes": [
            [tax.tax.code, str(tax.tax.rate_percent), tax.base_minor, tax.amount_minor]
            for tax in content.taxes
        ],
        "credit_notes": [[str(one.credit_note_id), one.amount_minor] for one in content.notes],
    }
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).digest()


def line_form(line: Line) -> dict[str, str | int | list[str]]:
    """Return what a line bills; how it came about and which trace rated it do not matter."""
    fee = line.fee
    return {
        "line_id": str(line.line_id),
        "kind": fee.kind,
        "charge": fee.charge_code,
        "filter": fee.filter_code,
        "group": json.dumps(fee.group_values),
        "meter": fee.meter_code,
        "units": str(fee.units),
        "exact": str(fee.exact_amount),
        "amount_minor": fee.amount_minor,
        "coupons_minor": line.coupons_minor,
        "taxes": list(line.tax_codes),
        "progressive_credit_minor": line.progressive_credit_minor,
        "tax_minor": line.tax_share_minor,
        "credit_notes_minor": line.credit_notes_minor,
        "period_id": str(line.period_id),
        "adjustment": line.adjustment_sequence,
        "start": line.period.start.isoformat(),
        "end": line.period.end.isoformat(),
        "subscription": line.subscription_id,
    }
