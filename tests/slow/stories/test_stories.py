"""What other systems state of whole stories comes out of the suite, too."""

from __future__ import annotations

from tests.suite import Suite
from tests.vectors import exceptions
from tests.vectors.adapters import ADAPTERS
from tests.vectors.cases import load
from tests.vectors.running import run
from tests.vectors.stories.playing import play

DONE = [
    "grace_period",
    "invoice_numbering",
    "minimum_commitment",
    "period_sequences",
    "prepaid_credits",
    "progressive_billing",
    "proration",
    "termination",
    "trial",
    "upgrade_downgrade",
    "wallet_topup_rules",
    "wallet_traceability",
]


async def test_every_story_comes_out_as_stated(suite: Suite) -> None:
    cases = [case for case in load(names=DONE) if case.is_story]
    outcome = run(cases, ADAPTERS, exceptions.load(), await play(suite, cases))
    assert not outcome.failures, "\n" + "\n".join(outcome.failures)
