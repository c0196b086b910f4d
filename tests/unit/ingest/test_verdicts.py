"""Verdicts on a group of requests: the first of an identity stands."""

from libs.tenant import Tenant
from services.ingest.domain.candidates import Submission, read_candidates
from services.ingest.domain.digest import DIGEST_VERSION
from services.ingest.domain.event import Event
from services.ingest.domain.validation import Reason
from services.ingest.domain.verdicts import Decision, Stored, decide, find_identities
from tests.unit.ingest.events import OTHER_TENANT, TENANT, event, submission

Log = dict[tuple[Tenant, bytes], Stored]


def names(decision: Decision) -> list[list[str]]:
    return [[judged.verdict.value for judged in request] for request in decision.judgements]


def stored(*events: Event, tenant: Tenant = TENANT) -> Log:
    candidates = read_candidates([submission(*events, tenant=tenant)])
    keys = [key.tobytes() for key in candidates.keys]
    return {
        (tenant, key): Stored(digest, DIGEST_VERSION, 7)
        for key, digest in zip(keys, candidates.digests.tolist(), strict=True)
    }


class Decided:
    """What was decided on a group, given a log."""

    def __init__(self, *group: Submission, log: Log | None = None) -> None:
        self.candidates = read_candidates(group)
        identities = find_identities(self.candidates)
        known = {
            row: (log or {}).get((Tenant(self.candidates.tenants[row]), self.key(row)))
            for row in identities.distinct.tolist()
        }
        found = {row: one for row, one in known.items() if one is not None}
        self.decision = decide(group, self.candidates, identities, found)
        self.names = names(self.decision)
        self.refused = self.decision.refused
        self.accepted = [self.candidates.ids[row].decode() for row in self.decision.accepted]

    def key(self, row: int) -> bytes:
        key: bytes = self.candidates.keys[row].tobytes()
        return key


def test_new_events_are_accepted_in_order() -> None:
    decided = Decided(submission(event("a"), event("b")), submission(event("c")))
    assert decided.names == [["ACCEPTED", "ACCEPTED"], ["ACCEPTED"]]
    assert decided.accepted == ["a", "b", "c"]


def test_what_is_stored_is_a_duplicate_or_a_conflict_by_content() -> None:
    log = stored(event("a"), event("b"))
    decided = Decided(submission(event("a"), event("b", type="other")), log=log)
    assert decided.names == [["DUPLICATE", "CONFLICT"]]
    assert decided.decision.judgements[0][0].number == 7
    assert not decided.accepted
    [refused] = decided.refused
    assert (refused.rejection.reason, refused.rejection.field) == (Reason.CONFLICT, "id")


def test_the_first_of_two_equal_ids_in_a_request_wins() -> None:
    decided = Decided(submission(event("a"), event("a"), event("a", type="other")))
    assert decided.names == [["ACCEPTED", "DUPLICATE", "CONFLICT"]]
    assert decided.accepted == ["a"]


def test_the_earlier_request_of_a_group_wins() -> None:
    decided = Decided(submission(event("a", type="other")), submission(event("a"), event("b")))
    assert decided.names == [["ACCEPTED"], ["CONFLICT", "ACCEPTED"]]


def test_tenants_do_not_meet() -> None:
    log = stored(event("a"))
    other = submission(event("a", type="other"), tenant=OTHER_TENANT)
    assert Decided(other, log=log).names == [["ACCEPTED"]]


def test_one_bad_event_does_not_fail_its_batch() -> None:
    decided = Decided(submission(event(""), event("b")))
    assert decided.names == [["REJECTED", "ACCEPTED"]]
    assert [one.rejection.reason for one in decided.refused] == [Reason.ID_MISSING]


def test_an_atomic_request_with_a_rejected_event_stores_nothing() -> None:
    log = stored(event("old"))
    atomic = submission(event("a"), event("a"), event("old"), event(""), atomic=True)
    decided = Decided(atomic, submission(event("a", type="other")), log=log)
    assert decided.names == [
        ["NOT_STORED", "NOT_STORED", "DUPLICATE", "REJECTED"],
        ["ACCEPTED"],  # What was withdrawn took no identity.
    ]
    assert decided.decision.accepted.tolist() == [4]  # The last request's, in spite of its place.


def test_an_atomic_request_with_a_conflict_stores_nothing() -> None:
    atomic = submission(event("a"), event("b"), atomic=True)
    decided = Decided(submission(event("b", type="other")), atomic)
    assert decided.names == [["ACCEPTED"], ["NOT_STORED", "CONFLICT"]]


def test_a_withdrawn_repeat_of_an_earlier_request_is_still_a_duplicate() -> None:
    atomic = submission(event("a"), event(""), atomic=True)
    decided = Decided(submission(event("a")), atomic)
    assert decided.names == [["ACCEPTED"], ["DUPLICATE", "REJECTED"]]


def test_a_duplicate_is_a_success_for_an_atomic_request() -> None:
    atomic = submission(event("a"), event("b"), event("b"), atomic=True)
    decided = Decided(atomic, log=stored(event("a")))
    assert decided.names == [["DUPLICATE", "ACCEPTED", "DUPLICATE"]]
