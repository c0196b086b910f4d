"""A document as one page of HTML that needs nothing else, and prints on A4."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from html import escape
from importlib import resources

from services.invoicing.document.rows import GroupView, RowView
from services.invoicing.document.view import DocumentView

# Nothing is fetched and nothing runs, whatever the text of users holds.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def html_of(view: DocumentView) -> str:
    """Return the page. What users wrote is escaped, and directed by its own letters."""
    stamp = f'<p class="stamp" aria-hidden="true">{escape(view.stamp)}</p>' if view.stamp else ""
    return f"""<!doctype html>
<html lang="en"{' class="stamped"' if view.stamp else ""}>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(f"{view.title} {view.number}".strip())}</title>
<style>
{style()}</style>
</head>
<body>
{stamp}
<header>
<h1>{escape(view.title)}<small>{escape(view.number)}</small></h1>
<p class="seller" dir="auto">{escape(view.seller[0])}</p>
</header>
<section class="parties">
{party("From", view.seller) if view.seller[0] else "<div></div>"}
{party(view.buyer_label, view.buyer)}
<dl>{"".join(pairs(view.facts))}</dl>
</section>
<section class="total">
<p><b>{escape(view.total_label)}</b><span dir="auto">{escape(view.due)}</span></p>
<strong>{escape(view.total)}</strong>
</section>
{table(view)}
<table class="sums">
{"".join(sum_row(name, amount) for name, amount in view.sums)}
<tr class="last"><th scope="row">{escape(view.total_label)}</th><td>{escape(view.total)}</td></tr>
</table>
{"".join(f'<p class="notice" dir="auto">{escape(notice)}</p>' for notice in view.notices)}
<dl class="payment">{"".join(pairs(view.payment))}</dl>
<footer>
<p>All amounts are in {escape(view.currency_name)} ({escape(view.currency)}).</p>
{f"<p>Reference {escape(view.trace)}</p>" if view.trace else ""}
{f'<p class="own" dir="auto">{escape(view.footer)}</p>' if view.footer else ""}
</footer>
</body>
</html>
"""


def party(label: str, lines: Iterable[str]) -> str:
    """Return who sells or buys."""
    shown = "".join(f'<span dir="auto">{escape(line)}</span>' for line in lines if line)
    return f"<address><i>{escape(label)}</i>{shown}</address>"


def pairs(facts: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield facts by name."""
    for name, value in facts:
        yield f'<div><dt>{escape(name)}</dt><dd dir="auto">{escape(value)}</dd></div>'


def table(view: DocumentView) -> str:
    """Return the lines; its head is repeated on every printed page."""
    if not view.groups:
        return "<p>Nothing was billed yet.</p>"
    heads = ["Description", "Units", "Unit price", f"Amount {view.currency}"]
    shown = heads if view.with_units else [heads[0], heads[3]]
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in shown)
    groups = "\n".join(group_of(group, with_units=view.with_units) for group in view.groups)
    return f'<table class="lines">\n<thead><tr>{head}</tr></thead>\n{groups}\n</table>'


def group_of(group: GroupView, *, with_units: bool) -> str:
    """Return the rows of a group, below its title."""
    width = 4 if with_units else 2
    title = (
        f'<tr class="group"><th colspan="{width}" scope="rowgroup"><bdi>{escape(group.title)}</bdi>'
        f"<span>{escape(group.days)}</span></th></tr>\n"
        if group.title
        else ""
    )
    rows = "\n".join(row for one in group.rows for row in rows_of(one, with_units=with_units))
    return f"<tbody>\n{title}{rows}\n</tbody>"


def rows_of(row: RowView, *, with_units: bool) -> Iterator[str]:
    """Yield a row, and the steps of its price below it."""
    note = f" <small>{escape(row.note)}</small>" if row.note else ""
    named = f"<bdi>{escape(row.description)}</bdi>{note}"
    yield cells(named, (row.units, row.price, row.amount), with_units=with_units)
    for what, *numbers in row.parts:
        yield cells(escape(what), numbers, with_units=with_units, style=' class="part"')


def cells(named: str, numbers: Iterable[str], *, with_units: bool, style: str = "") -> str:
    units, price, amount = numbers
    shown = (units, price, amount) if with_units else (amount,)
    return f"<tr{style}><td>{named}</td>{''.join(f'<td>{escape(one)}</td>' for one in shown)}</tr>"


def sum_row(name: str, amount: str) -> str:
    return f'<tr><th scope="row">{escape(name)}</th><td>{escape(amount)}</td></tr>\n'


@cache
def style() -> str:
    """Return how it looks."""
    return resources.files(__package__).joinpath("document.css").read_text()
