"""The faults: one line each, as data. What they break would cost money, usage or trust."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """`line` of `file`, but for its indentation, becomes `replacement`, which breaks `rule`.

    `tests` are expected to notice, and are run first; a line that is gone becomes an empty one.
    """

    file: str
    line: str
    replacement: str
    rule: str
    tests: tuple[str, ...]


FAULTS = (
    Fault(
        "services/ingest/operations/sealing.py",
        "stored = await keys.find_stored(conn, SHARD, candidates, probed)",
        "stored = {}",
        "an event that is stored is a duplicate",
        ("tests/store/ingest/test_sealing.py",),
    ),
    Fault(
        "services/ingest/domain/verdicts.py",
        "if known.has(int(candidates.digests[row])):",
        "if known.digest:",
        "a known id with other content is a conflict, no duplicate",
        ("tests/unit/ingest/test_verdicts.py", "tests/races/test_sealers.py"),
    ),
    Fault(
        "services/rating/store/periods.py",
        "return ordered.with_for_update(of=billing_periods, key_share=True)",
        "return ordered",
        "a fold and a close of one period wait for each other",
        ("tests/races/test_fold_and_close.py",),
    ),
    Fault(
        "services/rating/store/applied.py",
        "moving = update(applied).filter_by(**lane._asdict(), number=old).values(number=new)",
        "moving = update(applied).filter_by(**lane._asdict()).values(number=new)",
        "a slice is folded once, whoever else folds it",
        ("tests/store/rating/test_folding.py",),
    ),
    Fault(
        "services/rating/domain/price.py",
        "tier = next(t for t in price.tiers if t.up_to is None or billed <= t.up_to)",
        "tier = next(t for t in price.tiers if t.up_to is None or billed < t.up_to)",
        "a tier holds the units up to and including its bound",
        ("tests/unit/rating/test_prices.py", "tests/property/rating/test_prices.py"),
    ),
    Fault(
        "services/rating/domain/calendar.py",
        "last = local_day(end, zone) + DAY",
        "last = local_day(end, zone)",
        "the day on which a subscription ends is billed",
        ("tests/unit/rating/test_calendar.py",),
    ),
    Fault(
        "services/rating/operations/folding.py",
        "await outbox.append(conn, tenant, changed)",
        "del changed",
        "late usage is announced, and so billed",
        ("tests/store/rating/test_closing.py",),
    ),
    Fault(
        "services/rating/operations/announcing.py",
        "if is_complete(periods, watermark)",
        "if True",
        "a period is due only once all its acknowledged usage is in the cells",
        ("tests/store/rating/test_calendar.py",),
    ),
    Fault(
        "services/invoicing/domain/tax.py",
        "tax: [amount * Fraction(tax.rate_percent) / 100 for amount in of_tax]",
        "tax: [Fraction(round(each * Fraction(tax.rate_percent) / 100)) for each in of_tax]",
        "a tax is rounded once an invoice, not once a line",
        ("tests/unit/invoicing/test_taxes.py", "tests/property/invoicing/test_taxes.py"),
    ),
    Fault(
        "services/invoicing/operations/finalizing.py",
        "numbers = await take_numbers(conn, tenant, numbered, sellers, buyers, now=now)",
        "numbers = await take_numbers(conn, tenant, closing, sellers, buyers, now=now)",
        "a number is taken last, by invoices that show it: there is no gap",
        ("tests/store/invoicing/test_numbers.py",),
    ),
    Fault(
        "services/invoicing/operations/finalizing.py",
        "await outbox.append_all(conn, [finalized[invoice_id] for invoice_id in invoice_ids])",
        "del finalized",
        "a finalized invoice is announced in the transaction that finalizes it",
        ("tests/store/invoicing/test_announcing.py",),
    ),
    Fault(
        "services/wallet/domain/grant.py",
        "return self.expires_at is not None and self.expires_at <= instant",
        "return self.expires_at is not None and self.expires_at < instant",
        "a grant pays nothing from the instant of its expiry on",
        ("tests/unit/wallet/test_apply_credits.py", "tests/unit/wallet/test_hold.py"),
    ),
    Fault(
        "services/wallet/domain/hold.py",
        "return _resolved(book, hold, HoldStatus.EXPIRED, Reason.HOLD_EXPIRY, hold.expires_at)",
        "return replace(hold, status=HoldStatus.EXPIRED, parts=())",
        "a hold that expires gives its money back",
        ("tests/unit/wallet/test_expiry.py",),
    ),
    Fault(
        "services/wallet/store/books.py",
        "locking = wanted.order_by(wallets.c.wallet_id).with_for_update(of=wallets)",
        "locking = wanted.order_by(wallets.c.wallet_id)",
        "who changes a wallet is alone with it",
        ("tests/store/wallet/test_holds.py", "tests/races/test_callers.py"),
    ),
    Fault(
        "services/wallet/store/migrations/versions/0001_wallet.py",
        "for table in (*OWN_TABLES, *SHARED_TENANT_TABLES):",
        "for table in (*OWN_TABLES[1:], *SHARED_TENANT_TABLES):",
        "no tenant sees another one's rows, in any table",
        ("tests/store/test_row_security.py",),
    ),
    Fault(
        "libs/money.py",
        "rounded: int = whole + (1 if 2 * rest >= denominator else 0)",
        "rounded: int = whole + (1 if 2 * rest + whole % 2 > denominator else 0)",
        "half a minor unit is rounded away from zero, not to the even one",
        ("tests/unit/libs/test_money.py",),
    ),
    Fault(
        "libs/period.py",
        "instant = naive.replace(tzinfo=zone, fold=0).astimezone(UTC)",
        "instant = naive.replace(tzinfo=UTC)",
        "a day begins at midnight of its zone, which moves with daylight saving",
        ("tests/unit/libs/test_period.py",),
    ),
    Fault(
        "libs/requests.py",
        "if self.digest != request.digest:",
        "if self.digest is None:",
        "a request id that comes again with other content is refused",
        ("tests/store/libs/test_requests.py", "tests/races/test_callers.py"),
    ),
    Fault(
        "libs/db.py",
        "yield conn if leads else None",
        "yield conn",
        "one relay numbers the facts, however many run",
        ("tests/races/test_relays.py",),
    ),
    Fault(
        "libs/auth.py",
        "if named is None or INTERNAL_SCOPE not in who.scopes:",
        "if named is None:",
        "only a service of the suite may speak for any tenant",
        ("tests/unit/libs/test_auth.py",),
    ),
)
