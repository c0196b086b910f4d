"""Verdicts on a group of requests: the first of an identity stands."""

from libs.tenant import Tenant
from services.ingest.domain.candidate import Submission
from services.ingest.domain.digest import DIGEST_VERSION
from services.ingest.domain.event import Event
from services.ingest.domain.validation import Reason
from services.ingest.domain.verdicts import Decision, Identity, Stored, decide
from tests.unit.ingest.events import OTHER_TENANT, TENANT, candidate, event, submission


def names(decision: Decision) -> list[list[str]]:
    return [[judged.verdict.value for judged in request] for request in decision.judgements]


def stored(*events: Event, tenant: Tenant = TENANT) -> dict[Identity, Stored]:
    return {
        (tenant, one.key): Stored(one.digest, DIGEST_VERSION, 7)
        for one in (candidate(sent, tenant=tenant) for sent in events)
    }


def decided(*group: Submission, log: dict[Identity, Stored] | None = None) -> Decision:
    return decide(group, log or {})


def test_new_events_are_accepted_in_order() -> None:
    decision = decided(submission(event("a"), event("b")), submission(event("c")))
    assert names(decision) == [["ACCEPTED", "ACCEPTED"], ["ACCEPTED"]]
    assert [one.candidate.event.id for one in decision.accepted] == ["a", "b", "c"]


def test_what_is_stored_is_a_duplicate_or_a_conflict_by_content() -> None:
    log = stored(event("a"), event("b"))
    decision = decided(submission(event("a"), event("b", type="other")), log=log)
    assert names(decision) == [["DUPLICATE", "CONFLICT"]]
    assert decision.judgements[0][0].number == 7
    assert not decision.accepted
    [refused] = decision.refused
    assert (refused.rejection.reason, refused.rejection.field) == (Reason.CONFLICT, "id")


def test_the_first_of_two_equal_ids_in_a_request_wins() -> None:
    decision = decided(submission(event("a"), event("a"), event("a", type="other")))
    assert names(decision) == [["ACCEPTED", "DUPLICATE", "CONFLICT"]]
    assert len(decision.accepted) == 1


def test_the_earlier_request_of_a_group_wins() -> None:
    decision = decided(submission(event("a", type="other")), submission(event("a"), event("b")))
    assert names(decision) == [["ACCEPTED"], ["CONFLICT", "ACCEPTED"]]


def test_tenants_do_not_meet() -> None:
    log = stored(event("a"))
    other = submission(event("a", type="other"), tenant=OTHER_TENANT)
    assert names(decided(other, log=log)) == [["ACCEPTED"]]


def test_one_bad_event_does_not_fail_its_batch() -> None:
    decision = decided(submission(event(""), event("b")))
    assert names(decision) == [["REJECTED", "ACCEPTED"]]
    assert [one.rejection.reason for one in decision.refused] == [Reason.ID_MISSING]


def test_an_atomic_request_with_a_rejected_event_stores_nothing() -> None:
    log = stored(event("old"))
    atomic = submission(event("a"), event("a"), event("old"), event(""), atomic=True)
    decision = decided(atomic, submission(event("a", type="other")), log=log)
    assert names(decision) == [
        ["NOT_STORED", "NOT_STORED", "DUPLICATE", "REJECTED"],
        ["ACCEPTED"],  # What was withdrawn took no identity.
    ]
    assert [one.candidate.event.type for one in decision.accepted] == ["other"]


def test_an_atomic_request_with_a_conflict_stores_nothing() -> None:
    atomic = submission(event("a"), event("b"), atomic=True)
    decision = decided(submission(event("b", type="other")), atomic)
    assert names(decision) == [["ACCEPTED"], ["NOT_STORED", "CONFLICT"]]


def test_a_withdrawn_repeat_of_an_earlier_request_is_still_a_duplicate() -> None:
    atomic = submission(event("a"), event(""), atomic=True)
    decision = decided(submission(event("a")), atomic)
    assert names(decision) == [["ACCEPTED"], ["DUPLICATE", "REJECTED"]]


def test_a_duplicate_is_a_success_for_an_atomic_request() -> None:
    atomic = submission(event("a"), event("b"), event("b"), atomic=True)
    decision = decided(atomic, log=stored(event("a")))
    assert names(decision) == [["DUPLICATE", "ACCEPTED", "DUPLICATE"]]
