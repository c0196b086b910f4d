"""Reading features, entitlements and checks: every fault is found at once, by field path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from libs.errors import FieldInvalid
from libs.wire import Faults, parse_code, parse_decimal, parse_enum, parse_text
from services.rating.domain.entitlement import (
    Entitlement,
    Feature,
    Override,
    Privilege,
    PrivilegeType,
    Value,
)
from services.rating.domain.meter import repeats
from services.rating.domain.metered_limit import Limit, LimitKind, LimitReset, Rollover
from services.rating.operations.checking import Question, Subject
from tally.rating.v1 import entitlement_service_pb2 as pb

PRIVILEGES_MAX = 50
OPTIONS_MAX = 100
GIVEN_MAX = 500
SUBJECTS_MAX = 1_000
PAIRS_MAX = 10_000
VALUE_BYTES_MAX = 1_024
ZERO, ONE = Decimal(0), Decimal(1)


def parse_feature(request: pb.CreateFeatureRequest, now: datetime) -> Feature:
    """Read the feature that is created at `now`.

    Raises:
        FieldInvalid, FieldsInvalid: with every fault, below "feature".
    """
    if not request.HasField("feature"):
        raise FieldInvalid("feature", "is missing")
    message, path = request.feature, "feature"
    faults = Faults()
    with faults.gathered():
        code = parse_code(message.code, f"{path}.code")
    with faults.gathered():
        name = parse_text(message.name, f"{path}.name", required=False)
    with faults.gathered():
        if message.meter_code:
            parse_code(message.meter_code, f"{path}.meter_code")
    with faults.gathered():
        _check_count(message.privileges, f"{path}.privileges", PRIVILEGES_MAX)
    privileges: list[Privilege] = []
    for place, one in enumerate(message.privileges[:PRIVILEGES_MAX]):
        with faults.gathered():
            privileges.append(_parse_privilege(one, f"{path}.privileges[{place}]"))
    codes = [one.code for one in message.privileges[:PRIVILEGES_MAX]]
    _add_repeats(faults, codes, path + ".privileges[{}].code")
    faults.check()
    return Feature(code, name or code, tuple(privileges), message.meter_code, now)


def parse_entitlements(messages: Sequence[pb.Entitlement], path: str) -> list[Entitlement]:
    """Read what a plan is given."""
    faults = Faults()
    found: list[Entitlement] = []
    with faults.gathered():
        _check_count(messages, path, GIVEN_MAX)
    for place, one in enumerate(messages[:GIVEN_MAX]):
        with faults.gathered():
            found.append(_parse_entitlement(one, f"{path}[{place}]"))
    codes = [one.feature_code for one in messages[:GIVEN_MAX]]
    _add_repeats(faults, codes, path + "[{}].feature_code")
    faults.check()
    return found


def parse_overrides(messages: Sequence[pb.EntitlementOverride], path: str) -> list[Override]:
    """Read in what a subscription differs."""
    faults = Faults()
    found: list[Override] = []
    with faults.gathered():
        _check_count(messages, path, GIVEN_MAX)
    for place, one in enumerate(messages[:GIVEN_MAX]):
        with faults.gathered():
            found.append(_parse_override(one, f"{path}[{place}]"))
    codes = [one.feature_code for one in messages[:GIVEN_MAX]]
    _add_repeats(faults, codes, path + "[{}].feature_code")
    faults.check()
    return found


def parse_check(request: pb.CheckEntitlementRequest) -> Question:
    """Read a question for one feature of one subject."""
    faults = Faults()
    subject, wanted = Subject(), ONE
    with faults.gathered():
        subject = _parse_subject(request.subject, "subject")
    with faults.gathered():
        parse_code(request.feature_code, "feature_code")
    with faults.gathered():
        wanted = _parse_units(request.wanted_units, "wanted_units", ONE)
    faults.check()
    return Question([subject], [request.feature_code], wanted)


def parse_checks(request: pb.CheckEntitlementsRequest) -> Question:
    """Read a question for many features of many subjects."""
    faults = Faults()
    subjects: list[Subject] = []
    wanted = ONE
    with faults.gathered():
        _check_count(request.subjects, "subjects", SUBJECTS_MAX, least=1)
        pairs = len(request.subjects) * len(request.feature_codes)
        if pairs > PAIRS_MAX:
            problem = f"and feature_codes are {pairs} pairs, at most {PAIRS_MAX} are allowed"
            raise FieldInvalid("subjects", problem)
        for place, one in enumerate(request.subjects):
            with faults.gathered():
                subjects.append(_parse_subject(one, f"subjects[{place}]"))
    with faults.gathered():
        _check_count(request.feature_codes, "feature_codes", GIVEN_MAX, least=1)
        for place, code in enumerate(request.feature_codes):
            with faults.gathered():
                parse_code(code, f"feature_codes[{place}]")
        _add_repeats(faults, request.feature_codes, "feature_codes[{}]")
    with faults.gathered():
        wanted = _parse_units(request.wanted_units, "wanted_units", ONE)
    faults.check()
    return Question(subjects, list(request.feature_codes), wanted, request.omit_privileges)


def _parse_privilege(message: pb.Privilege, path: str) -> Privilege:
    faults = Faults()
    with faults.gathered():
        parse_code(message.code, f"{path}.code")
    with faults.gathered():
        parse_text(message.name, f"{path}.name", required=False)
    kind = ""
    with faults.gathered():
        kind = parse_enum(message.type, pb.PrivilegeType, f"{path}.type", prefix="PRIVILEGE_TYPE_")
    with faults.gathered():
        if kind == PrivilegeType.SELECT:
            _check_count(message.options, f"{path}.options", OPTIONS_MAX, least=1)
        elif kind and message.options:
            raise FieldInvalid(f"{path}.options", "are of SELECT alone")
    for place, option in enumerate(message.options[:OPTIONS_MAX]):
        with faults.gathered():
            parse_text(option, f"{path}.options[{place}]")
    _add_repeats(faults, message.options[:OPTIONS_MAX], path + ".options[{}]")
    faults.check()
    name = message.name or message.code
    return Privilege(message.code, name, PrivilegeType(kind), tuple(message.options))


def _parse_entitlement(message: pb.Entitlement, path: str) -> Entitlement:
    faults = Faults()
    values: Mapping[str, Value] = {}
    limit = None
    with faults.gathered():
        parse_code(message.feature_code, f"{path}.feature_code")
    with faults.gathered():
        values = _parse_values(message.privileges, f"{path}.privileges")
    with faults.gathered():
        if message.HasField("limit"):
            limit = _parse_limit(message.limit, f"{path}.limit")
    faults.check()
    return Entitlement(message.feature_code, values, limit)


def _parse_override(message: pb.EntitlementOverride, path: str) -> Override:
    faults = Faults()
    values: Mapping[str, Value] = {}
    limit = None
    has_limit = message.HasField("limit")
    with faults.gathered():
        parse_code(message.feature_code, f"{path}.feature_code")
    with faults.gathered():
        values = _parse_values(message.privileges, f"{path}.privileges")
    with faults.gathered():
        if has_limit:
            limit = _parse_limit(message.limit, f"{path}.limit")
    if message.removed and (message.privileges or has_limit or message.unlimited):
        faults.add(f"{path}.removed", "a feature that is removed has nothing else")
    if message.unlimited and has_limit:
        faults.add(f"{path}.unlimited", "a feature that is unlimited has no limit")
    faults.check()
    code = message.feature_code
    return Override(code, message.removed, values, limit, message.unlimited)


def _parse_values(messages: Sequence[pb.PrivilegeValue], path: str) -> dict[str, Value]:
    faults = Faults()
    _check_count(messages, path, PRIVILEGES_MAX)
    values: dict[str, Value] = {}
    for place, one in enumerate(messages):
        with faults.gathered():
            code = parse_code(one.privilege_code, f"{path}[{place}].privilege_code")
            values[code] = _parse_value(one, f"{path}[{place}]")
    codes = [one.privilege_code for one in messages]
    _add_repeats(faults, codes, path + "[{}].privilege_code")
    faults.check()
    return values


def _parse_value(message: pb.PrivilegeValue, path: str) -> Value:
    match message.WhichOneof("value"):
        case "flag":
            return message.flag
        case "integer":
            return message.integer
        case "decimal":
            return parse_decimal(message.decimal, f"{path}.decimal")
        case "text":
            return parse_text(
                message.text, f"{path}.text", bytes_max=VALUE_BYTES_MAX, required=False
            )
        case _:
            raise FieldInvalid(path, "has no value")


def _parse_limit(message: pb.UsageLimit, path: str) -> Limit:
    faults = Faults()
    units, kind, reset, rollover = ZERO, "", "", None
    with faults.gathered():
        units = parse_decimal(message.units, f"{path}.units", at_least=ZERO)
    with faults.gathered():
        kind = parse_enum(message.kind, pb.LimitKind, f"{path}.kind", prefix="LIMIT_KIND_")
    with faults.gathered():
        reset = parse_enum(message.reset, pb.LimitReset, f"{path}.reset", prefix="LIMIT_RESET_")
    with faults.gathered():
        if message.HasField("rollover"):
            rollover = _parse_rollover(message.rollover, f"{path}.rollover")
    faults.check()
    return Limit(units, LimitKind(kind), LimitReset(reset), rollover)


def _parse_rollover(message: pb.Rollover, path: str) -> Rollover:
    faults = Faults()
    least, most = ZERO, ZERO
    with faults.gathered():
        least = _parse_units(message.minimum, f"{path}.minimum", ZERO)
    with faults.gathered():
        most = parse_decimal(message.maximum, f"{path}.maximum", at_least=ZERO)
        if most < least:
            raise FieldInvalid(f"{path}.maximum", f"{most} is below the minimum {least}")
    faults.check()
    return Rollover(least, most)


def _parse_units(text: str, path: str, default: Decimal) -> Decimal:
    return parse_decimal(text, path, at_least=ZERO) if text else default


def _parse_subject(message: pb.EntitlementSubject, path: str) -> Subject:
    match message.WhichOneof("subject"):
        case "customer_id":
            return Subject(customer_id=parse_text(message.customer_id, f"{path}.customer_id"))
        case "subscription_id":
            found = parse_text(message.subscription_id, f"{path}.subscription_id")
            return Subject(subscription_id=found)
        case _:
            raise FieldInvalid(path, "names neither a customer nor a subscription")


def _check_count(given: Sequence[object], path: str, most: int, *, least: int = 0) -> None:
    if not least <= len(given) <= most:
        bounds = f"{least} to {most}" if least else f"at most {most}"
        raise FieldInvalid(path, f"are {len(given)}, {bounds} are allowed")


def _add_repeats(faults: Faults, texts: Sequence[str], path: str) -> None:
    for fault in repeats(texts, path):
        faults.add(fault.field, fault.problem)
