"""Expected errors as rich gRPC statuses, and back."""

from __future__ import annotations

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

CODE_OF_KIND: dict[type[errors.TallyError], int] = {
    errors.InvalidInput: Code.INVALID_ARGUMENT,
    errors.Unauthenticated: Code.UNAUTHENTICATED,
    errors.PermissionDenied: Code.PERMISSION_DENIED,
    errors.NotFound: Code.NOT_FOUND,
    errors.AlreadyExists: Code.ALREADY_EXISTS,
    errors.Refused: Code.FAILED_PRECONDITION,
    errors.Exhausted: Code.RESOURCE_EXHAUSTED,
    errors.Unavailable: Code.UNAVAILABLE,
    errors.DeadlineExceeded: Code.DEADLINE_EXCEEDED,
}

KIND_OF_CODE: dict[grpc.StatusCode, type[errors.TallyError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidInput,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.ALREADY_EXISTS: errors.AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: errors.Refused,
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
    """Return the status of `error`: code, message, ErrorInfo, and what else its kind carries."""
    info = ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    details: list[Message] = [info]
    if isinstance(error, errors.FieldInvalid | errors.FieldsInvalid):
        details.append(
            BadRequest(
                field_violations=[
                    BadRequest.FieldViolation(field=fault.field, description=fault.problem)
                    for fault in error.faults
                ]
            )
        )
    if isinstance(error, errors.Exhausted):
        delay = Duration()
        delay.FromTimedelta(timedelta(seconds=error.retry_after))
        details.append(RetryInfo(retry_delay=delay))
    return Status(
        code=next(code for kind, code in CODE_OF_KIND.items() if isinstance(error, kind)),
        message=str(error),
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
