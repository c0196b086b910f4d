"""A thin client of Tally: `Tally`, and `AsyncTally` for asyncio.

Requests and answers are the messages of the contracts, in `tally_client.ingest.v1`, `rating.v1`,
`invoicing.v1`, `wallet.v1` and `common.v1`; errors are in `tally_client.errors`. Producers are in
`tally_client.producing`, with what they are told, what they tell and what they raise.
"""

from tally_client._error import FieldViolation, TallyError
from tally_client._tally import AsyncTally, Tally

__all__ = ["AsyncTally", "FieldViolation", "Tally", "TallyError"]
