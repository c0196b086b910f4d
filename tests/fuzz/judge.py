"""What is wrong with how a call ended."""

from __future__ import annotations

from tally.common.v1.errors_pb2 import ErrorReason
from tests.fuzz.caller import Outcome
from tests.fuzz.calls import Call

# What gRPC's client says, instead of the answer, when it still wrote as the answer came.
WRITE_FAILED = "Internal error from Core"
SLOW_SECONDS = 40.0  # More than a service gives a call of its own accord.
TRAILING_BYTES_MAX = 6 * 1024  # gRPC clients take 8 KiB; a proxy may take less.
REASONS = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()[1:]}
# The codes of libs/status.py, but for the one that tells of a hang.
ANSWERS = {
    "INVALID_ARGUMENT",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "FAILED_PRECONDITION",
    "ABORTED",  # What the caller knows of the thing is out of date.
    "UNAVAILABLE",  # While something else is under way; with our reason, so not a lost process.
    "RESOURCE_EXHAUSTED",
}
# What gRPC itself says to messages and headers above its limits, and to strange compression.
GRPC_SAYS = {"RESOURCE_EXHAUSTED", "UNIMPLEMENTED"}


def find_fault(call: Call, outcome: Outcome) -> str:
    """Return what is wrong with the answer to `call`; "" if nothing is."""
    if call.method.descriptor.client_streaming and outcome.message == WRITE_FAILED:
        return ""
    if outcome.seconds > SLOW_SECONDS:
        return f"hung for {outcome.seconds:.0f} s"
    match outcome.code:
        case "OK":
            return ""
        case "CANCELLED" if call.cancel_after is not None:
            return ""
        case "DEADLINE_EXCEEDED" if call.hasty:
            return ""
        case code if code in GRPC_SAYS and (call.oversized or call.compression is not None):
            return ""
    if not call.method.ours:
        strange = outcome.code not in {*ANSWERS, "UNIMPLEMENTED"}
        return _said(outcome) if strange else ""
    if outcome.code not in ANSWERS:
        return _said(outcome)
    if outcome.info is None and not (call.hasty or call.cancel_after is not None):
        return f"no ErrorInfo: {_said(outcome)}"
    if outcome.info is None:
        return ""  # gRPC's client gave the call up just as the answer came, and lost its details.
    if outcome.info.domain != "tally" or outcome.info.reason not in REASONS - {"INTERNAL"}:
        return f"ErrorInfo {outcome.info.domain!r} {outcome.info.reason!r}: {_said(outcome)}"
    if outcome.code == "RESOURCE_EXHAUSTED" and not outcome.retry:
        return f"does not say when to come again: {_said(outcome)}"
    if outcome.trailing_bytes > TRAILING_BYTES_MAX:
        return f"{outcome.trailing_bytes} bytes of trailing metadata: {_said(outcome)}"
    return ""


def _said(outcome: Outcome) -> str:
    reason = outcome.info.reason if outcome.info else ""
    trace = outcome.info.metadata.get("trace_id", "") if outcome.info else ""
    return f"{outcome.code} {reason} {trace} {outcome.message[:400]}"
