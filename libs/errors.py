"""Kinds of expected failure.

    TallyError
    ├── InvalidInput      the request can never succeed             INVALID_ARGUMENT
    ├── Unauthenticated   the credential is missing or bad          UNAUTHENTICATED
    ├── PermissionDenied  the credential does not allow it          PERMISSION_DENIED
    ├── NotFound          the thing named does not exist            NOT_FOUND
    ├── AlreadyExists     the key is taken by other content         ALREADY_EXISTS
    ├── Conflict          what the caller knew has changed          ABORTED
    ├── Refused           the current state does not allow it       FAILED_PRECONDITION
    ├── Exhausted         too much at once, the same call may work  RESOURCE_EXHAUSTED
    ├── Unavailable       a peer is away, the same call may work    UNAVAILABLE
    └── DeadlineExceeded  it took too long, the outcome is unknown  DEADLINE_EXCEEDED

Domain code raises a named subclass whose `reason` is one of `tally.common.v1.ErrorReason`;
`libs.rpc` turns its kind into a gRPC status and its reason into a `google.rpc.ErrorInfo`.
Anything else that escapes is a bug.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class TallyError(Exception):
    """An expected failure a caller can act on.

    The message is for people and holds the numbers that disagree; `metadata` holds the same
    numbers for programs, in snake_case with the unit last: {"available_minor": "120"}.
    """

    reason: str

    def __init__(
        self,
        message: str = "",
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        if reason is not None:
            self.reason = reason
        assert hasattr(self, "reason"), f"{type(self).__name__} names no reason"
        self.metadata = dict(metadata or {})


class InvalidInput(TallyError):
    """The request can never succeed."""


class Unauthenticated(TallyError):
    """The credential is missing or bad."""

    reason = "TOKEN_INVALID"


class PermissionDenied(TallyError):
    """The credential is good and does not allow it."""

    reason = "SCOPE_MISSING"


class NotFound(TallyError):
    """The thing named does not exist, or belongs to another tenant."""


class AlreadyExists(TallyError):
    """The key is taken by other content."""


class Refused(TallyError):
    """The current state does not allow it; waiting alone does not help."""


class Conflict(TallyError):
    """What the caller went by has changed meanwhile: read it again, and decide anew."""


class Exhausted(TallyError):
    """Too much at once: the same call may work in `retry_after` seconds."""

    reason = "OVERLOADED"

    def __init__(
        self,
        message: str = "",
        *,
        retry_after: float = 1.0,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata)
        self.retry_after = retry_after


class Unavailable(TallyError):
    """A peer or the database is away, or the outcome is unknown: the same call may work."""

    reason = "UNAVAILABLE"


class DeadlineExceeded(TallyError):
    """It took too long; the outcome is unknown and the same call may be made again."""

    reason = "DEADLINE_EXCEEDED"


class FieldInvalid(InvalidInput):
    """`field`, a path like "charges[2].price.amount", cannot be read."""

    reason = "FIELD_INVALID"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem

    @property
    def faults(self) -> tuple[FieldInvalid, ...]:
        """Every field at fault: this one."""
        return (self,)


class FieldsInvalid(InvalidInput):
    """Several fields cannot be read; the caller learns of all of them at once."""

    reason = "FIELD_INVALID"

    def __init__(self, faults: Sequence[FieldInvalid]) -> None:
        super().__init__("; ".join(str(fault) for fault in faults))
        self.faults = tuple(faults)
