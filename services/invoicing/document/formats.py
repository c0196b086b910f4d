"""Amounts, quantities and days as documents show them, in English."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from babel import Locale
from babel.dates import format_date
from babel.numbers import format_currency, get_currency_name, get_currency_symbol

from libs.money import Money, exponent, to_decimal
from libs.quantity import decimal_text

LOCALE = Locale("en")
DAY = timedelta(days=1)


def money(amount_minor: int, currency: str) -> str:
    """Write an amount: "A$1,234.50", "¥1,050", "KWD 1.500".

    Minor units are exact, so nothing is rounded.
    """
    value = to_decimal(Money(currency, amount_minor))
    # With our places: babel's own would cut those that a currency has but people do not use.
    pattern = f"¤#,##0{'.' if exponent(currency) else ''}{'0' * exponent(currency)}"
    text = format_currency(value, currency, pattern, locale=LOCALE, currency_digits=False)
    symbol = get_currency_symbol(currency, locale=LOCALE)
    if symbol[-1].isalpha():  # Letters would run into the digits.
        text = text.replace(symbol, f"{symbol}\N{NO-BREAK SPACE}")
    return signed(text)


def plain(amount_minor: int, currency: str) -> str:
    """Write an amount without its currency: "1,234.50"."""
    return signed(f"{to_decimal(Money(currency, amount_minor)):,f}")


def exact(amount: Decimal, currency: str) -> str:
    """Write an exact amount or price without its currency, with no fewer places than it has.

    Decimal("0.0000025") EUR gives "0.0000025", Decimal("2") EUR gives "2.00".
    """
    places = exponent(currency)
    text = decimal_text(amount)
    if len(text.partition(".")[2]) < places:
        return signed(f"{amount:,.{places}f}")
    return signed(f"{Decimal(text):,f}")


def quantity(units: Decimal) -> str:
    """Write a quantity: "1,234.5"."""
    return signed(f"{Decimal(decimal_text(units)):,f}")


def signed(text: str) -> str:
    """Write a minus as a minus."""
    return text.replace("-", "\N{MINUS SIGN}")


def day(value: date) -> str:
    """Write a day: "1 January 2014"."""
    return format_date(value, "d MMMM yyyy", locale=LOCALE)


def days(first_day: date, end_day: date) -> str:
    """Write days, the last one included: "1 – 31 January 2014"."""
    last = max(first_day, end_day - DAY)
    if first_day == last:
        return day(last)
    pattern = "d MMMM yyyy"
    if first_day.year == last.year:
        pattern = "d" if first_day.month == last.month else "d MMMM"
    start = format_date(first_day, pattern, locale=LOCALE)
    return f"{start} \N{EN DASH} {day(last)}"


def net_days(count: int) -> str:
    """Write how long one has to pay: "14 days net"."""
    if count == 0:
        return "on receipt"
    return f"{count} {'day' if count == 1 else 'days'} net"


def currency_name(currency: str) -> str:
    """Write what an amount of a currency is called: "Australian dollars"."""
    return get_currency_name(currency, count=2, locale=LOCALE)


def country(code: str) -> str:
    """Write the name of a country; an unknown code stands for itself."""
    return str(LOCALE.territories.get(code, code))
