"""What every failed call raises, whatever went wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """What is wrong with one field of a request."""

    field: str  # Its path: "grant.amount.amount_minor".
    description: str


@dataclass(frozen=True, slots=True)
class Failure:
    """All that is known of a failed call."""

    code: str
    reason: str
    message: str
    metadata: Mapping[str, str] = dataclasses.field(default_factory=dict)
    field_violations: tuple[FieldViolation, ...] = ()
    request_id: str = ""
    retry_delay_seconds: float | None = None


class TallyError(Exception):
    """A call that failed.

    Each reason has a class of its own in `tally_client.errors`, below the class of its code:
    `InsufficientBalance` is a `FailedPrecondition`. A reason that this version does not know is
    of its code's class, and a code without a class is a plain `TallyError`.

    Attributes:
        code: the canonical code's name, "NOT_FOUND".
        reason: why, for programs, "WALLET_NOT_FOUND"; empty if it was not a service of Tally
            that answered.
        message: the same for people.
        metadata: the numbers of the message, for programs: {"available_minor": "120"}.
        field_violations: what is wrong with each field at fault.
        request_id: the one that was sent, empty if the method takes none. Where the outcome is
            not known (UNAVAILABLE, DEADLINE_EXCEEDED), the same request with it may be sent again.
        retry_delay_seconds: how long the service asks to wait; None if it does not.
    """

    def __init__(self, failure: Failure) -> None:
        names = ", ".join(name for name in (failure.code, failure.reason) if name)
        super().__init__(f"{failure.message} ({names})")
        self.code = failure.code
        self.reason = failure.reason
        self.message = failure.message
        self.metadata = failure.metadata
        self.field_violations = failure.field_violations
        self.request_id = failure.request_id
        self.retry_delay_seconds = failure.retry_delay_seconds
