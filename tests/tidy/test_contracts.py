"""Every method of every contract declares what it needs, and says how it can fail."""

import importlib
from collections.abc import Iterator
from functools import partial

import pytest
from google.protobuf.descriptor import ServiceDescriptor

from tally.common.v1 import errors_pb2
from tests.tidy import contract_rules, tree
from tests.tidy.contract_rules import Method

REASONS = {name.removeprefix("ERROR_REASON_") for name in errors_pb2.ErrorReason.keys()[1:]}

PAGED = (frozenset({"page_size", "page_token"}), frozenset({"next_page_token"}))
NONE: frozenset[str] = frozenset()
EXAMPLES = [
    (Method("GetThing", "", NONE, NONE), ["GetThing declares no scope"]),
    (
        Method("CreateThing", "CATALOG_WRITE", NONE, NONE),
        ["CreateThing changes something and has no request_id"],
    ),
    (Method("RecordEvents", "EVENTS_WRITE", NONE, NONE), []),
    (
        Method("ListThings", "USAGE_READ", frozenset({"page_size", "page_token"}), NONE),
        ["ListThings lists and has no next_page_token"],
    ),
    (Method("ListThings", "USAGE_READ", *PAGED), []),
    (
        Method("GetThing", "USAGE_READ", frozenset({"tenant_id"}), NONE),
        ["GetThing takes the tenant from the body"],
    ),
]


def services() -> Iterator[ServiceDescriptor]:
    """Give every service that proto/ defines, from the generated code."""
    for name in tree.matching("proto/**"):
        if name.endswith(".proto"):
            module = name.removeprefix("proto/").removesuffix(".proto").replace("/", ".")
            generated = importlib.import_module(f"{module}_pb2")
            yield from generated.DESCRIPTOR.services_by_name.values()


def test_every_method_has_a_scope_and_every_command_a_request_id() -> None:
    methods = [method for service in services() for method in service.methods]
    assert len(methods) > 20
    found = [contract_rules.find_method_faults(Method.from_descriptor(each)) for each in methods]
    tree.check_none(sum(found, []))


@pytest.mark.parametrize(("method", "findings"), EXAMPLES)
def test_a_faulty_method_is_found(method: Method, findings: list[str]) -> None:
    assert contract_rules.find_method_faults(method) == findings


def test_every_method_lists_its_errors() -> None:
    rule = partial(contract_rules.find_comment_faults, reasons=REASONS)
    tree.check(rule, tree.matching("*.proto"))


def test_a_method_without_errors_is_found() -> None:
    text = "// Gets.\nrpc Get(A) returns (B);\n// Errors: NOT_FOUND/A.\nrpc Put(A) returns (B);\n"
    found = contract_rules.find_comment_faults(text, {"B"})
    assert found == ["2: rpc Get lists no errors", "4: A is no ErrorReason"]


def test_every_error_that_is_raised_has_its_reason_in_the_contract() -> None:
    rule = partial(contract_rules.find_unknown_reasons, reasons=REASONS)
    files = [name for name in tree.matching("services/**", "libs/**") if name.endswith(".py")]
    tree.check(rule, files)


def test_an_unknown_reason_is_found() -> None:
    text = '    reason = "WALLET_EMPTY"\n    reason: str = "UNAVAILABLE"\n'
    found = contract_rules.find_unknown_reasons(text, {"UNAVAILABLE"})
    assert found == ["1: WALLET_EMPTY is no ErrorReason"]
