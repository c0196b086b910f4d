"""Expected errors as rich gRPC statuses, and back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import grpc
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from libs import errors

DOMAIN = "tally"
# A status travels in headers, of which many clients take 8 KiB, and its message travels twice,
# once with each byte beyond ASCII as three.
MESSAGE_BYTES_MAX = 600
VIOLATIONS_BYTES_MAX = 1_500
TEXT_BYTES_MAX = 250
LEFT_OUT = "violations_left_out"

CODE_OF_KIND: dict[type[errors.TallyError], int] = {
    errors.InvalidInput: Code.INVALID_ARGUMENT,
    errors.Unauthenticated: Code.UNAUTHENTICATED,
    errors.PermissionDenied: Code.PERMISSION_DENIED,
    errors.NotFound: Code.NOT_FOUND,
    errors.AlreadyExists: Code.ALREADY_EXISTS,
    errors.Refused: Code.FAILED_PRECONDITION,
    errors.Conflict: Code.ABORTED,
    errors.Exhausted: Code.RESOURCE_EXHAUSTED,
    errors.Unavailable: Code.UNAVAILABLE,
    errors.DeadlineExceeded: Code.DEADLINE_EXCEEDED,
}

KIND_OF_CODE: dict[grpc.StatusCode, type[errors.TallyError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidInput,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.ALREADY_EXISTS: errors.AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: errors.Refused,
    grpc.StatusCode.ABORTED: errors.Conflict,
}
PASSING = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
}


class PeerFailed(RuntimeError):
    """A peer answered with what no peer should: a mistake or a wrong set-up, its own or ours.

    Not a TallyError: our caller cannot act on it, and a peer that refuses *our* token must not
    look as if the caller's token were bad.
    """


def status_of(error: errors.TallyError) -> Status:
    """Return the status of `error`: code, message, ErrorInfo, and what else its kind carries.

    It fits into headers: a long message is cut, and of many fields at fault the first are named;
    the ErrorInfo says how many are left out.
    """
    info = ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    details: list[Message] = [info]
    if isinstance(error, errors.FieldInvalid | errors.FieldsInvalid):
        bad = _violations(error.faults)
        details.append(bad)
        if left_out := len(error.faults) - len(bad.field_violations):
            info.metadata[LEFT_OUT] = str(left_out)
    if isinstance(error, errors.Exhausted):
        delay = Duration()
        delay.FromTimedelta(timedelta(seconds=error.retry_after))
        details.append(RetryInfo(retry_delay=delay))
    return Status(
        code=next(code for kind, code in CODE_OF_KIND.items() if isinstance(error, kind)),
        message=_cut(str(error), MESSAGE_BYTES_MAX),
        details=[_packed(detail) for detail in details],
    )


def status_of_mistake(trace_id: str) -> Status:
    """Return the status of an error nobody expected: it leaks nothing but where to look."""
    info = ErrorInfo(reason="INTERNAL", domain=DOMAIN, metadata={"trace_id": trace_id})
    message = "the service made a mistake; its log has it under the trace id"
    return Status(code=Code.INTERNAL, message=message, details=[_packed(info)])


def error_of(failed: grpc.aio.AioRpcError, asked: str) -> Exception:
    """Return what a failed call to the method `asked` means to us, with the peer's reason."""
    code, details = failed.code(), failed.details() or ""
    info, violations, retry = _details_of(failed)
    if code in PASSING:
        return errors.Unavailable(f"{asked}: {details}")
    if violations:
        faults = [errors.FieldInvalid(one.field, one.description) for one in violations]
        return faults[0] if len(faults) == 1 else errors.FieldsInvalid(faults)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and info.reason:
        seconds = retry.retry_delay.ToTimedelta().total_seconds() or 1.0
        return errors.Exhausted(details, retry_after=seconds, reason=info.reason)
    kind = KIND_OF_CODE.get(code)
    if kind is None or not info.reason:
        return PeerFailed(f"{asked}: {code.name} {info.reason} {details}")
    return kind(details, reason=info.reason, metadata=dict(info.metadata))


def _violations(faults: Sequence[errors.FieldInvalid]) -> BadRequest:
    """Name the first of `faults`, at least one, as far as there is room."""
    bad, size = BadRequest(), 0
    for fault in faults:
        violation = BadRequest.FieldViolation(
            field=_cut(fault.field, TEXT_BYTES_MAX), description=_cut(fault.problem, TEXT_BYTES_MAX)
        )
        size += violation.ByteSize()
        if size > VIOLATIONS_BYTES_MAX:
            break
        bad.field_violations.append(violation)
    return bad


def _cut(text: str, bytes_max: int) -> str:
    """Return `text`, or as much of its beginning as `bytes_max` bytes hold."""
    content = text.encode()
    if len(content) <= bytes_max:
        return text
    return content[: bytes_max - 3].decode(errors="ignore") + "…"


def _details_of(
    failed: grpc.aio.AioRpcError,
) -> tuple[ErrorInfo, list[BadRequest.FieldViolation], RetryInfo]:
    info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
    try:
        status = rpc_status.from_call(failed)  # type: ignore[arg-type]
    except (ValueError, DecodeError):
        status = None
    for detail in status.details if status else ():
        for known in (info, bad, retry):
            detail.Unpack(known)
    return info, list(bad.field_violations), retry


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
