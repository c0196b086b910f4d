"""Rules about the contracts that buf does not know."""

import re
from dataclasses import dataclass

from google.protobuf.descriptor import MethodDescriptor

from tally.common.v1 import options_pb2

# Idempotent by the identity of what they carry.
WITHOUT_REQUEST_ID = {"RecordColumns", "RecordEvents", "ResubmitRejected", "StreamEvents"}
WITHOUT_REQUEST_ID |= {"RunBilling"}  # What is finalized already stays.
WITHOUT_REQUEST_ID |= {"MeterSession"}  # Its session and sequences identify its steps.
WITHOUT_REQUEST_ID |= {"MigrateSubscriptions"}  # What is on the version already stays.
PAGE_REQUEST, PAGE_RESPONSE = {"page_size", "page_token"}, {"next_page_token"}


@dataclass(frozen=True, slots=True)
class Method:
    """What the rules look at in a method."""

    name: str
    scope: str  # "" for none
    request_fields: frozenset[str]
    response_fields: frozenset[str]

    @classmethod
    def from_descriptor(cls, descriptor: MethodDescriptor) -> "Method":
        """Read a method of the generated code."""
        scope = descriptor.GetOptions().Extensions[options_pb2.scope]
        return cls(
            name=descriptor.name,
            scope=options_pb2.Scope.Name(scope).removeprefix("SCOPE_") if scope else "",
            request_fields=frozenset(descriptor.input_type.fields_by_name),
            response_fields=frozenset(descriptor.output_type.fields_by_name),
        )


def find_method_faults(method: Method) -> list[str]:
    """Find a method without scope, a command that is not idempotent, a list without pages."""
    findings = []
    if not method.scope:
        findings.append(f"{method.name} declares no scope")
    command = method.scope.endswith("_WRITE") and method.name not in WITHOUT_REQUEST_ID
    if command and "request_id" not in method.request_fields:
        findings.append(f"{method.name} changes something and has no request_id")
    if method.name.startswith("List"):
        missing = PAGE_REQUEST - method.request_fields | PAGE_RESPONSE - method.response_fields
        findings += [f"{method.name} lists and has no {field}" for field in sorted(missing)]
    if "tenant" in method.request_fields | {f.removesuffix("_id") for f in method.request_fields}:
        findings.append(f"{method.name} takes the tenant from the body")
    return findings


def find_comment_faults(text: str, reasons: set[str]) -> list[str]:
    """Find methods whose comment does not list errors, and errors that are not `reasons`."""
    findings = []
    comment = ""
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if line.startswith("//"):
            comment += line.removeprefix("//")
            continue
        if line.startswith("rpc "):
            if "Errors:" not in comment:
                findings.append(f"{number}: {line.split('(')[0]} lists no errors")
            named = set(re.findall(r"\b[A-Z_]{8,}/([A-Z0-9_]+)", comment))
            findings += [f"{number}: {name} is no ErrorReason" for name in sorted(named - reasons)]
        comment = ""
    return findings


def find_unknown_reasons(text: str, reasons: set[str]) -> list[str]:
    """Find error classes whose reason is not in the contract."""
    lines = enumerate(text.splitlines(), start=1)
    given = (
        (number, re.search(r"\breason(?:: str)? ?= ?\"([A-Z0-9_]+)\"", line))
        for number, line in lines
    )
    return [
        f"{number}: {match[1]} is no ErrorReason"
        for number, match in given
        if match and match[1] not in reasons
    ]
