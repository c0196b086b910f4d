"""Tokens: what is accepted, what is refused and why."""

from __future__ import annotations

import base64
from datetime import timedelta
from pathlib import Path

import jwt
import pytest

from libs import auth
from libs.auth import Authenticator, Caller, InternalToken
from libs.errors import FieldInvalid, TallyError
from libs.tenant import Tenant
from tests.unit.libs.keys import Keys, make_private_key
from tests.wait import until


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


def bearer(token: str, **more: str) -> dict[str, str | bytes]:
    return {"authorization": f"Bearer {token}", **more}


def reason_of(authenticator: Authenticator, metadata: dict[str, str | bytes]) -> str:
    with pytest.raises(TallyError) as refused:
        authenticator.authenticate(metadata)
    return refused.value.reason


def test_a_good_token_names_tenant_and_scopes(keys: Keys) -> None:
    who = Authenticator(keys.file).authenticate(bearer(keys.token("events:write", "usage:read")))
    assert who == Caller(Tenant(7), frozenset({"events:write", "usage:read"}))


def test_every_key_of_the_set_is_good(keys: Keys) -> None:
    keys.private["k2"] = make_private_key()
    keys.write()
    authenticator = Authenticator(keys.file)
    for kid in ("k1", "k2"):
        assert authenticator.authenticate(bearer(keys.token("admin", kid=kid))).tenant == 7


def test_a_call_without_a_token_is_refused(keys: Keys) -> None:
    authenticator = Authenticator(keys.file)
    assert reason_of(authenticator, {}) == "TOKEN_MISSING"
    assert reason_of(authenticator, {"authorization": "Bearer "}) == "TOKEN_MISSING"


def test_an_expired_token_is_refused(keys: Keys) -> None:
    token = keys.token("admin", expires_in=timedelta(seconds=-1))
    assert reason_of(Authenticator(keys.file), bearer(token)) == "TOKEN_EXPIRED"


async def test_a_cached_token_is_refused_once_it_expires(keys: Keys) -> None:
    authenticator = Authenticator(keys.file)
    token = keys.token("admin", expires_in=timedelta(seconds=2))
    authenticator.authenticate(bearer(token))

    def expired() -> bool:
        try:
            authenticator.authenticate(bearer(token))
        except auth.TokenExpired:
            return True
        return False

    await until(expired, describe="the token to expire")


def test_a_foreign_signature_is_refused(keys: Keys) -> None:
    claims = {"aud": "tally", "iat": 0, "exp": 2**32, "tenant": 7, "scopes": ["admin"]}
    forged = jwt.encode(claims, make_private_key(), algorithm="EdDSA", headers={"kid": "k1"})
    assert reason_of(Authenticator(keys.file), bearer(forged)) == "TOKEN_INVALID"


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "other"},
        {"aud": None},
        {"exp": None},
        {"tenant": None},
        {"tenant": "7"},
        {"tenant": True},
        {"tenant": 0},
        {"tenant": 2**31},
        {"scopes": "admin"},
        {"scopes": [1]},
        {"scopes": None},
    ],
    ids=str,
)
def test_a_token_with_wrong_claims_is_refused(keys: Keys, claims: dict[str, object]) -> None:
    good = {"aud": "tally", "iat": 0, "exp": 2**32, "tenant": 7, "scopes": ["admin"]}
    changed = {name: value for name, value in (good | claims).items() if value is not None}
    token = jwt.encode(changed, keys.private["k1"], algorithm="EdDSA", headers={"kid": "k1"})
    assert reason_of(Authenticator(keys.file), bearer(token)) == "TOKEN_INVALID"


DEEP = base64.urlsafe_b64encode(b"[" * 5_000).decode()  # More than the JSON reader goes down.


@pytest.mark.parametrize("text", ["x", "a.b.c", "é", "eyJhbGciOiJub25lIn0.e30.", f"{DEEP}.e30.e30"])
def test_what_is_no_token_is_refused(keys: Keys, text: str) -> None:
    assert reason_of(Authenticator(keys.file), bearer(text)) == "TOKEN_INVALID"


def test_another_scheme_is_refused(keys: Keys) -> None:
    metadata: dict[str, str | bytes] = {"authorization": "Basic dTpw"}
    assert reason_of(Authenticator(keys.file), metadata) == "TOKEN_INVALID"


def test_an_unsigned_token_is_refused(keys: Keys) -> None:
    claims = {"aud": "tally", "iat": 0, "exp": 2**32, "tenant": 7, "scopes": ["admin"]}
    token = jwt.encode(claims, "", algorithm="none", headers={"kid": "k1"})
    assert reason_of(Authenticator(keys.file), bearer(token)) == "TOKEN_INVALID"


def test_a_key_taken_out_of_the_file_ends_its_cached_tokens(keys: Keys) -> None:
    authenticator = Authenticator(keys.file)
    token = keys.token("admin")
    authenticator.authenticate(bearer(token))
    keys.private = {"k2": make_private_key()}
    keys.write()
    assert reason_of(authenticator, bearer(token)) == "TOKEN_INVALID"
    assert authenticator.authenticate(bearer(keys.token("admin", kid="k2"))).tenant == 7


def test_a_broken_key_file_leaves_the_keys_as_they_were(keys: Keys) -> None:
    authenticator = Authenticator(keys.file)
    keys.write("{")
    assert authenticator.authenticate(bearer(keys.token("admin"))).tenant == 7


def test_only_an_internal_token_may_name_a_tenant(keys: Keys) -> None:
    authenticator = Authenticator(keys.file)
    internal = keys.token("internal", tenant=None)
    assert authenticator.authenticate(bearer(internal)).tenant is None
    assert authenticator.authenticate(bearer(internal, **{"tally-tenant": "9"})).tenant == 9
    own = bearer(keys.token("admin"), **{"tally-tenant": "9"})
    assert authenticator.authenticate(own).tenant == 7


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "1.5", "²", "9" * 30, "0" * 10 + "19" * 6])
def test_an_internal_call_for_what_is_no_tenant_is_refused(keys: Keys, text: str) -> None:
    metadata = bearer(keys.token("internal", tenant=None), **{"tally-tenant": text})
    with pytest.raises(FieldInvalid) as refused:
        Authenticator(keys.file).authenticate(metadata)
    assert refused.value.field == "tally-tenant"


def test_a_tenant_must_be_named_where_one_is_needed() -> None:
    with auth.acting_as(Caller(None, frozenset({"internal"}))):
        with pytest.raises(auth.TenantMissing):
            auth.tenant()
    with auth.acting_as(Caller(Tenant(7), frozenset())):
        assert auth.tenant() == 7


def test_an_internal_token_is_read_again_when_its_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one\n")
    token = InternalToken(str(file))
    assert token.metadata() == (("authorization", "Bearer one"),)
    file.write_text("another\n")
    assert token.metadata(Tenant(7)) == (
        ("authorization", "Bearer another"),
        ("tally-tenant", "7"),
    )


def test_a_token_without_a_tenant_is_not_issued_to_others(keys: Keys) -> None:
    with pytest.raises(FieldInvalid):
        keys.token("events:write", tenant=None)
