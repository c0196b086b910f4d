"""The verdicts on a group of requests, given what is stored already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from libs.tenant import Tenant
from services.ingest.domain.candidate import Candidate, Submission
from services.ingest.domain.digest import DIGEST_VERSION, digest
from services.ingest.domain.validation import Reason, Rejection


class Verdict(Enum):
    """What became of an event. Names are those of tally.ingest.v1.Verdict."""

    ACCEPTED = "ACCEPTED"
    DUPLICATE = "DUPLICATE"
    CONFLICT = "CONFLICT"
    REJECTED = "REJECTED"
    NOT_STORED = "NOT_STORED"


@dataclass(frozen=True, slots=True)
class Stored:
    """What the log knows of an identity: its content's digest, and the segment it lies in."""

    digest: int
    digest_version: int
    number: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on one event. `number` is the segment of a DUPLICATE stored earlier."""

    verdict: Verdict
    rejection: Rejection | None = None
    number: int = 0


class Accepted(NamedTuple):
    """An event that goes into the segment."""

    tenant: Tenant
    candidate: Candidate


@dataclass(frozen=True, slots=True)
class Refused:
    """An event that is kept beside the log, with the reason."""

    tenant: Tenant
    candidate: Candidate
    rejection: Rejection


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to a group: `judgements` by request and event, and what is written."""

    judgements: list[list[Judgement]]
    accepted: list[Accepted]
    refused: list[Refused]


Identity = tuple[Tenant, bytes]

ACCEPTED = Judgement(Verdict.ACCEPTED)
REPEATED_IN_GROUP = Judgement(Verdict.DUPLICATE)
NOT_STORED = Judgement(Verdict.NOT_STORED)


def decide(group: Sequence[Submission], stored: Mapping[Identity, Stored]) -> Decision:
    """Judge every event of `group`, earlier requests first, then by place in the request.

    The first event of an identity wins, in the log, in the group and in a request alike: an equal
    one after it is a DUPLICATE, another one a CONFLICT. Of an atomic request with a CONFLICT or
    REJECTED nothing is accepted, and its other events are NOT_STORED.
    """
    decision = Decision([], [], [])
    taken: dict[Identity, Candidate] = {}
    for submission in group:
        own: dict[Identity, Candidate] = {}
        judgements = [
            _judge(submission.tenant, candidate, stored, taken, own)
            for candidate in submission.candidates
        ]
        if submission.atomic and any(judged.rejection is not None for judged in judgements):
            judgements = _withdrawn(submission, judgements, own)
        else:
            taken |= own
            decision.accepted.extend(
                Accepted(submission.tenant, candidate) for candidate in own.values()
            )
        decision.judgements.append(judgements)
        decision.refused.extend(
            Refused(submission.tenant, candidate, judged.rejection)
            for candidate, judged in zip(submission.candidates, judgements, strict=True)
            if judged is not ACCEPTED and judged.rejection is not None
        )
    return decision


def _judge(
    tenant: Tenant,
    candidate: Candidate,
    stored: Mapping[Identity, Stored],
    taken: Mapping[Identity, Candidate],
    own: dict[Identity, Candidate],
) -> Judgement:
    if candidate.fault is not None:
        return Judgement(Verdict.REJECTED, candidate.fault)
    identity = (tenant, candidate.key)
    if (known := stored.get(identity)) is not None:
        if _digest_at(candidate, known.digest_version) == known.digest:
            return Judgement(Verdict.DUPLICATE, number=known.number)
        return _conflict(candidate)
    first = taken.get(identity) or own.setdefault(identity, candidate)
    if first is candidate:
        return ACCEPTED
    return REPEATED_IN_GROUP if first.digest == candidate.digest else _conflict(candidate)


def _withdrawn(
    submission: Submission, judgements: list[Judgement], own: Mapping[Identity, Candidate]
) -> list[Judgement]:
    """Take back what an atomic request would have stored, repeats of its own events too."""
    return [
        NOT_STORED
        if judged is ACCEPTED
        or (judged is REPEATED_IN_GROUP and (submission.tenant, candidate.key) in own)
        else judged
        for candidate, judged in zip(submission.candidates, judgements, strict=True)
    ]


def _digest_at(candidate: Candidate, version: int) -> int:
    return candidate.digest if version == DIGEST_VERSION else digest(candidate.event, version)


def _conflict(candidate: Candidate) -> Judgement:
    event = candidate.event
    detail = f"source {event.source!r}, id {event.id!r} came before with other content"
    return Judgement(Verdict.CONFLICT, Rejection(Reason.CONFLICT, "id", detail))
