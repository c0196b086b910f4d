"""The verdicts on a group of requests, given what is stored already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import overload

import numpy as np

from services.ingest.domain.candidates import Candidates, Submission
from services.ingest.domain.digest import DIGEST_VERSION
from services.ingest.domain.validation import Reason, Rejection
from services.ingest.domain.wire import Field, Flags, Ints


class Verdict(Enum):
    """What became of an event. Names are those of tally.ingest.v1.Verdict."""

    ACCEPTED = "ACCEPTED"
    DUPLICATE = "DUPLICATE"
    CONFLICT = "CONFLICT"
    REJECTED = "REJECTED"
    NOT_STORED = "NOT_STORED"


STORED = (Verdict.ACCEPTED, Verdict.DUPLICATE)  # Successes for whoever sent the event.


@dataclass(frozen=True, slots=True)
class Stored:
    """What the log knows of an identity: its content's digest, and the segment it lies in.

    `corrected` are the digests of what it was corrected to.
    """

    digest: int
    digest_version: int
    number: int
    corrected: frozenset[int] = frozenset()

    def has(self, digest: int) -> bool:
        """Tell whether it has, or ever had, the content of `digest`."""
        return digest == self.digest or digest in self.corrected


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on one event. `number` is the segment of a DUPLICATE stored earlier."""

    verdict: Verdict
    rejection: Rejection | None = None
    number: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """An event, by row, that is kept beside the log, with the reason."""

    row: int
    rejection: Rejection


ACCEPTED = Judgement(Verdict.ACCEPTED)
REPEATED_IN_GROUP = Judgement(Verdict.DUPLICATE)
NOT_STORED = Judgement(Verdict.NOT_STORED)


@dataclass(frozen=True, slots=True)
class Judgements(Sequence[Judgement]):
    """The verdicts on a request: `usual` on all its events but the `special` ones, by index."""

    events: int
    usual: Judgement
    special: Mapping[int, Judgement]

    def __len__(self) -> int:
        """Return how many events there are."""
        return self.events

    @overload
    def __getitem__(self, index: int) -> Judgement: ...
    @overload
    def __getitem__(self, index: slice) -> list[Judgement]: ...
    def __getitem__(self, index: int | slice) -> Judgement | list[Judgement]:
        """Return the verdict on one event, or those on several."""
        return self.all()[index]

    def __iter__(self) -> Iterator[Judgement]:
        """Give the verdicts in the request's order."""
        return iter(self.all())

    def all(self) -> list[Judgement]:
        """Return the verdicts in the request's order."""
        judged = [self.usual] * self.events
        for index, one in self.special.items():
            judged[index] = one
        return judged

    def counts(self) -> Counter[Verdict]:
        """Return how many events got each verdict."""
        counts = Counter(one.verdict for one in self.special.values())
        counts[self.usual.verdict] += self.events - len(self.special)
        return counts

    def exceptions(self) -> Iterator[tuple[int, Judgement]]:
        """Give the events, by index, that neither are stored nor were before."""
        judged = enumerate(self.all()) if self.usual is NOT_STORED else self.special.items()
        return ((index, one) for index, one in judged if one.verdict not in STORED)

    def newest(self, sealed: int) -> int:
        """Return the newest segment that holds one of the events, 0 for none.

        `sealed` is that of the group.
        """
        if self.counts()[Verdict.ACCEPTED]:
            return sealed
        repeated = (one for one in self.special.values() if one.verdict is Verdict.DUPLICATE)
        return max((one.number or sealed for one in repeated), default=0)


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to a group: the judgements on each request, and what is written.

    `accepted` are the rows that go into the segment, in their order.
    """

    judgements: list[Judgements]
    accepted: Ints
    refused: list[Refused]


@dataclass(frozen=True, slots=True)
class Identities:
    """Who the events of a group are.

    `first_rows` names the first row of each row's identity, -1 for an event at fault; `distinct`
    are these rows, each once, by tenant and key.
    """

    first_rows: Ints
    distinct: Ints

    def sort(self, rows: Ints) -> Ints:
        """Return `rows`, none of them at fault, by tenant and key."""
        ranks = np.zeros(len(self.first_rows), np.int64)
        ranks[self.distinct] = np.arange(len(self.distinct))
        return rows[np.argsort(ranks[self.first_rows[rows]], kind="stable")]


def find_identities(candidates: Candidates) -> Identities:
    """Sort the events of a group by who they are."""
    words = candidates.keys.view(">u8")
    tenants = candidates.tenants
    # Stable: of one identity the first row stays the first.
    order = np.lexsort((words[:, 1], words[:, 0], tenants))
    order = order[~np.isin(order, list(candidates.faults))] if candidates.faults else order
    new = np.ones(len(order), np.bool_)
    words, tenants = words[order], tenants[order]
    new[1:] = (words[1:] != words[:-1]).any(axis=1) | (tenants[1:] != tenants[:-1])
    distinct = order[new]
    first_rows = np.full(len(candidates.ids), -1, np.int64)
    first_rows[order] = distinct[np.cumsum(new) - 1]
    return Identities(first_rows, distinct)


def find_differing(
    candidates: Candidates, identities: Identities, stored: Mapping[int, Stored]
) -> list[int]:
    """Return the keys of `stored` that came with other content: only these may be in conflict."""
    if not stored:
        return []
    digests = np.zeros(len(candidates.ids), np.int64)
    digests[list(stored)] = [one.digest for one in stored.values()]
    first_rows = identities.first_rows
    rows = np.flatnonzero(np.isin(first_rows, np.array(list(stored), np.int64)))
    differing = rows[candidates.digests[rows] != digests[first_rows[rows]]]
    found: list[int] = np.unique(first_rows[differing]).tolist()
    return found


def decide(
    group: Sequence[Submission],
    candidates: Candidates,
    identities: Identities,
    stored: Mapping[int, Stored],
) -> Decision:
    """Judge every event of `group`, earlier requests first, then by place in the request.

    `stored` is by the first row of an identity. The first event of an identity wins, in the log,
    in the group and in a request alike: an equal one after it is a DUPLICATE, another one a
    CONFLICT. Of an atomic request with a CONFLICT or REJECTED nothing is accepted, and its other
    events are NOT_STORED.
    """
    first_rows = identities.first_rows
    accepted = ~_may_differ(first_rows, stored)
    special = np.flatnonzero(~accepted)  # All others are new, and nothing can be said of them.
    judgements: list[Judgements] = []
    refused: list[Refused] = []
    taken: dict[int, int] = {}
    start = 0
    for submission in group:
        rows = special[slice(*np.searchsorted(special, [start, start + submission.events]))]
        own: dict[int, int] = {}
        judged = {
            row: _judge(candidates, row, int(first_rows[row]), stored, taken, own)
            for row in rows.tolist()
        }
        refusals = [
            Refused(row, one.rejection) for row, one in judged.items() if one.rejection is not None
        ]
        refused += refusals
        others = ACCEPTED
        if submission.atomic and refusals:
            others = NOT_STORED
            accepted[start : start + submission.events] = False
            judged = {
                row: NOT_STORED if _withdrawn(one, int(first_rows[row]), own) else one
                for row, one in judged.items()
            }
        else:
            taken |= own
            accepted[list(own.values())] = True
        special_here = {row - start: one for row, one in judged.items()}
        judgements.append(Judgements(submission.events, others, special_here))
        start += submission.events
    return Decision(judgements, np.flatnonzero(accepted), refused)


def _may_differ(first_rows: Ints, stored: Mapping[int, Stored]) -> Flags:
    """Tell which events are at fault, or share their identity with one stored or sent."""
    at_fault = first_rows < 0
    is_stored = np.isin(first_rows, np.array(list(stored), np.int64))
    times_sent = np.bincount(first_rows[~at_fault], minlength=len(first_rows))
    return at_fault | is_stored | (times_sent[first_rows] > 1)


def _judge(
    candidates: Candidates,
    row: int,
    first_row: int,
    stored: Mapping[int, Stored],
    taken: Mapping[int, int],
    own: dict[int, int],
) -> Judgement:
    """Judge one event; `taken` and `own` hold the row that took an identity, by its first row."""
    if (fault := candidates.faults.get(row)) is not None:
        return Judgement(Verdict.REJECTED, fault)
    if (known := stored.get(first_row)) is not None:
        assert known.digest_version == DIGEST_VERSION
        if known.has(int(candidates.digests[row])):
            return Judgement(Verdict.DUPLICATE, number=known.number)
        return _conflict(candidates, row)
    taker = taken.get(first_row)
    if taker is None:
        taker = own.setdefault(first_row, row)
    if taker == row:
        return ACCEPTED
    if candidates.digests[taker] == candidates.digests[row]:
        return REPEATED_IN_GROUP
    return _conflict(candidates, row)


def _withdrawn(judged: Judgement, first_row: int, own: Mapping[int, int]) -> bool:
    """Tell whether an atomic request takes this back: what it stored, and repeats of that."""
    return judged is ACCEPTED or (judged is REPEATED_IN_GROUP and first_row in own)


def _conflict(candidates: Candidates, row: int) -> Judgement:
    source, event_id = candidates.text(Field.SOURCE, row), candidates.ids[row].decode()
    detail = f"source {source!r}, id {event_id!r} came before with other content"
    return Judgement(Verdict.CONFLICT, Rejection(Reason.CONFLICT, "id", detail))
