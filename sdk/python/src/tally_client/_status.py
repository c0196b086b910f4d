"""From a gRPC status with its details to an error that can be caught by class."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from tally_client._error import Failure, FieldViolation, TallyError
from tally_client.errors import BY_CODE, BY_REASON

DOMAIN = "tally"
DETAILS_KEY = "grpc-status-details-bin"


def error_of(failed: Any, request_id: str) -> TallyError:
    """Return the error that a failed call means; `request_id` is the one that was sent.

    `failed` is what grpc or grpc.aio raised.
    """
    info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
    for detail in _details(failed):
        for known in (info, bad, retry):
            detail.Unpack(known)
    if info.domain != DOMAIN:
        info.Clear()
    code: str = failed.code().name
    violations = (FieldViolation(one.field, one.description) for one in bad.field_violations)
    delays = retry.HasField("retry_delay")
    failure = Failure(
        code=code,
        reason=info.reason,
        message=failed.details() or "",
        metadata=dict(info.metadata),
        field_violations=tuple(violations),
        request_id=request_id,
        retry_delay_seconds=retry.retry_delay.ToTimedelta().total_seconds() if delays else None,
    )
    return (BY_REASON.get(info.reason) or BY_CODE.get(code) or TallyError)(failure)


def _details(failed: Any) -> list[Any]:
    metadata: Any = failed.trailing_metadata() or ()
    packed = next((value for key, value in metadata if key == DETAILS_KEY), b"")
    try:
        return list(Status.FromString(packed).details)
    except DecodeError:
        return []  # Something between us and the service wrote it; the code still stands.
