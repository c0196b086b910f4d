"""What the invoices of the demo's stories must be, worked out anew and apart from the suite.

The prices are written down here a second time. Everything is summed from the readings and from
the event lists by the calendar of the customer's zone; nothing of the suite is imported.
"""

import csv
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, localcontext
from zoneinfo import ZoneInfo

# Sums and products must come out exact; only `rounded` may round.
EXACT = Context(prec=200, traps=[Inexact])

Line = tuple[str, str, Decimal, int]  # Code, bucket, units, minor units.
Invoice = dict[str, object]


def invoices(
    ai_json: str, saas_json: str, analytics_json: str, electricity_csv: str
) -> dict[str, list[Invoice]]:
    """Returns the invoices of each story, oldest first, as `summary.json` shows them.

    The arguments are the contents of the files. Units are Decimals here. `number` and
    `trace_id` are left out: an oracle cannot know them.
    """
    with localcontext(EXACT):
        return {
            "ai-text": ai_text(ai_json),
            "saas-credits": saas_credits(saas_json),
            "analytics-weekly": analytics_weekly(analytics_json),
            "electricity": electricity_year(electricity_csv),
        }


def ai_text(text: str) -> list[Invoice]:
    """$20 a month in New York, 2.5 and 10 millionths of a dollar for a token in and out."""
    zone = ZoneInfo("America/New_York")
    requests = [
        (local(time, zone), int(tokens_in), int(tokens_out))
        for time, tokens_in, tokens_out in json.loads(text)["requests"]
    ]
    found = []
    for year, month in [(2014, 10), (2014, 11), (2014, 12)]:
        mine = [row for row in requests if (row[0].year, row[0].month) == (year, month)]
        tokens_in = Decimal(sum(row[1] for row in mine))
        tokens_out = Decimal(sum(row[2] for row in mine))
        lines = [
            line("base", "", Decimal(1), Decimal(20)),
            line("input_tokens", "", tokens_in, tokens_in * Decimal("2.5") / 1_000_000),
            line("output_tokens", "", tokens_out, tokens_out * 10 / 1_000_000),
        ]
        found.append(invoice("northwind-press", "USD", month_of(year, month, zone), lines))
    return found


def saas_credits(text: str) -> list[Invoice]:
    """$99 a month in London, a cent for a call, and $50 that pay for calls until they are gone."""
    zone = ZoneInfo("Europe/London")
    days = json.loads(text)["days"]
    left = 5_000
    found = []
    for year, month in [(2014, 10), (2014, 11), (2014, 12)]:
        calls = sum(count for day, count in days if day.startswith(f"{year}-{month:02}"))
        lines = [
            line("base", "", Decimal(1), Decimal(99)),
            line("api_calls", "", Decimal(calls), calls * Decimal("0.01")),
        ]
        paid = min(left, lines[1][3])
        left -= paid
        span = month_of(year, month, zone)
        found.append(invoice("quayside-logistics", "USD", span, lines, credits_minor=paid))
    return found


def analytics_weekly(text: str) -> list[Invoice]:
    """Weeks from Monday 10 March 2014 in Berlin, gigabytes in three tiers."""
    zone = ZoneInfo("Europe/Berlin")
    tiers = [(Decimal(500), "0.095"), (Decimal(2000), "0.0725"), (None, "0.05")]
    jobs = [(local(time, zone), Decimal(size)) for time, size in json.loads(text)["jobs"]]
    found = []
    for week in range(6):
        start = datetime(2014, 3, 10, tzinfo=zone) + timedelta(weeks=week)
        end = start + timedelta(weeks=1)  # Local time on both sides: a week may lack an hour.
        size = sum((size for at, size in jobs if start <= at < end), Decimal(0))
        lines = [line("gigabytes", "", size, graduated(size, tiers))]
        found.append(invoice("lindenberg-versicherung", "EUR", (start, end), lines))
    return found


def electricity_year(text: str) -> list[Invoice]:
    """The months of 2014 in Melbourne: energy by kind of day, peak, readings, 10 % GST."""
    zone = ZoneInfo("Australia/Melbourne")
    readings = [
        (local(row["interval_start_utc"], zone), Decimal(row["demand_gw"]), row["workday"] == "1")
        for row in csv.DictReader(text.splitlines())
    ]
    workday_tiers = [(Decimal(500_000), "61.85"), (Decimal(2_000_000), "57.40"), (None, "52.975")]
    weekend_tiers = [(Decimal(500_000), "48.20"), (None, "41.65")]
    found = []
    for month in range(1, 13):
        mine = [row for row in readings if (row[0].year, row[0].month) == (2014, month)]
        workday = sum((demand * 500 for _, demand, works in mine if works), Decimal(0))
        weekend = sum((demand * 500 for _, demand, works in mine if not works), Decimal(0))
        peak = max(demand for _, demand, _ in mine)
        lines = [
            line("energy_mwh", "workday", workday, graduated(workday, workday_tiers)),
            line("energy_mwh", "weekend", weekend, graduated(weekend, weekend_tiers)),
            line("peak_gw", "", peak, peak * 125_000),
            line("readings", "", Decimal(len(mine)), Decimal(0)),
        ]
        span = month_of(2014, month, zone)
        found.append(invoice("state-of-victoria", "AUD", span, lines, tax_percent=10))
    return found


def graduated(units: Decimal, tiers: Iterable[tuple[Decimal | None, str]]) -> Decimal:
    """Returns the price of `units`, each by the tier it falls into."""
    amount, floor = Decimal(0), Decimal(0)
    for up_to, unit_amount in tiers:
        top = units if up_to is None else min(units, up_to)
        amount += max(top - floor, Decimal(0)) * Decimal(unit_amount)
        floor = top
    return amount


def line(code: str, bucket: str, units: Decimal, exact: Decimal) -> Line:
    """Returns an invoice's line; every currency here has hundredths."""
    return code, bucket, units, rounded(exact * 100)


def invoice(
    customer: str,
    currency: str,
    span: tuple[datetime, datetime],
    lines: list[Line],
    *,
    tax_percent: int = 0,
    credits_minor: int = 0,
) -> Invoice:
    """Returns an invoice with its sums: tax on the whole, then credits."""
    subtotal = sum(amount for _, _, _, amount in lines)
    tax = rounded(Decimal(subtotal) * tax_percent / 100)
    return {
        "customer": customer,
        "period_start": utc(span[0]),
        "period_end": utc(span[1]),
        "currency": currency,
        "lines": [
            {"code": code, "filter": bucket, "units": units, "amount_minor": amount}
            for code, bucket, units, amount in lines
        ],
        "subtotal_minor": subtotal,
        "tax_minor": tax,
        "credits_minor": credits_minor,
        "total_minor": subtotal + tax - credits_minor,
    }


def rounded(exact: Decimal) -> int:
    """Returns the nearest whole number, halves away from zero."""
    return int(exact.to_integral_value(rounding=ROUND_HALF_UP))


def local(time: str, zone: ZoneInfo) -> datetime:
    return datetime.fromisoformat(time.replace("Z", "+00:00")).astimezone(zone)


def month_of(year: int, month: int, zone: ZoneInfo) -> tuple[datetime, datetime]:
    after = (year, month + 1) if month < 12 else (year + 1, 1)
    return datetime(year, month, 1, tzinfo=zone), datetime(*after, 1, tzinfo=zone)


def utc(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
