"""Verifications as streams of messages: what was found as it is found, what was looked at last."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

from libs.difference import Difference, Finding, Names, Unverified
from tally.common.v1 import verification_pb2 as pb

Response = TypeVar("Response")

Counts = Counter[str]  # How many things of each kind were compared, by the kind's plural.


async def answers(
    response: Callable[..., Response], findings: AsyncGenerator[Finding, None], counts: Counts
) -> AsyncGenerator[Response, None]:
    """Give a `response` for each finding and, when they end, one with what `counts` has by then.

    `response` is a method's message: with `difference`, `verification` and, if it can have such a
    finding, `unverified`.
    """
    difference_count = 0
    async with aclosing(findings):
        async for finding in findings:
            match finding:
                case Difference():
                    difference_count += 1
                    yield response(difference=difference_message(finding))
                case Unverified():
                    yield response(unverified=unverified_message(finding))
    counted = [pb.VerifiedCount(name=name, count=count) for name, count in counts.items()]
    yield response(verification=pb.Verification(counts=counted, difference_count=difference_count))


def difference_message(found: Difference) -> pb.Difference:
    """Write a difference."""
    return pb.Difference(
        tenant=found.tenant,
        kind=found.kind,
        names=_names(found.names),
        field=found.field,
        stored=found.stored,
        recomputed=found.recomputed,
    )


def unverified_message(found: Unverified) -> pb.Unverified:
    """Write what was not compared."""
    return pb.Unverified(
        tenant=found.tenant, kind=found.kind, names=_names(found.names), reason=found.reason
    )


def _names(names: Names) -> list[pb.NamedValue]:
    return [pb.NamedValue(name=name, value=value) for name, value in names.items()]
