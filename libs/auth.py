"""Who calls and what they may do: from a signed token, never from the body."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import OKPAlgorithm

from libs.errors import FieldInvalid, InvalidInput, PermissionDenied, Unauthenticated
from libs.tenant import TENANT_MAX, Tenant

log = logging.getLogger(__name__)

AUDIENCE = "tally"
INTERNAL_SCOPE = "internal"  # Allows every method, for any tenant named in the metadata.
TENANT_KEY = "tally-tenant"
CACHED_SECONDS = 60.0  # A revoked key works no longer than this.
CACHED_MAX = 10_000


class TokenMissing(Unauthenticated):
    """The call carries no token."""

    reason = "TOKEN_MISSING"


class TokenInvalid(Unauthenticated):
    """The token is malformed, forged or for someone else."""

    reason = "TOKEN_INVALID"


class TokenExpired(Unauthenticated):
    """The token was good once."""

    reason = "TOKEN_EXPIRED"


class ScopeMissing(PermissionDenied):
    """The token does not allow the method."""

    reason = "SCOPE_MISSING"

    def __init__(self, scope: str) -> None:
        super().__init__(f"the token lacks the scope {scope}", metadata={"scope": scope})


class TenantMissing(InvalidInput):
    """An internal call for a tenant names none."""

    reason = "TENANT_MISSING"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: a tenant, or for suite-wide internal calls none."""

    tenant: Tenant | None
    scopes: frozenset[str]


_caller: ContextVar[Caller] = ContextVar("caller")


def caller() -> Caller:
    """Return who makes the RPC that is being answered."""
    return _caller.get()


def tenant() -> Tenant:
    """Return the tenant for whom the RPC is made.

    Raises:
        TenantMissing: an internal token, and no `tally-tenant` in the metadata.
    """
    if (found := caller().tenant) is None:
        raise TenantMissing(f"an internal call names its tenant in the metadata {TENANT_KEY}")
    return found


@contextmanager
def acting_as(who: Caller) -> Iterator[None]:
    """Make `who` the caller for as long as the block runs."""
    before = _caller.set(who)
    try:
        yield
    finally:
        _caller.reset(before)


def set_caller(who: Caller) -> None:
    """Make `who` the caller until the present task ends."""
    _caller.set(who)


class Authenticator:
    """Checks EdDSA tokens against the public keys of a JSON key set (JWKS), chosen by `kid`.

    A changed file is read again at the next call, and forgets every token accepted before. A file
    that cannot be read, say half written, leaves the keys as they were.
    """

    def __init__(self, keys_file: str) -> None:
        self._file = keys_file
        self._version = _version(keys_file)
        self._keys = _read_keys(keys_file)
        self._cache: dict[bytes, tuple[Caller, float, float]] = {}

    def authenticate(self, metadata: Mapping[str, str | bytes]) -> Caller:
        """Return who makes a call with `metadata`.

        Raises:
            Unauthenticated: the token is missing, forged, expired or for someone else.
            FieldInvalid: an internal call names something that is no tenant.
        """
        scheme, _, token = str(metadata.get("authorization", "")).partition(" ")
        if not token:
            raise TokenMissing('the metadata has no "authorization: Bearer TOKEN"')
        if scheme.lower() != "bearer":
            raise TokenInvalid("the authorization is not of the scheme Bearer")
        who = self._check(token.strip())
        named = metadata.get(TENANT_KEY)
        if named is None or INTERNAL_SCOPE not in who.scopes:
            return who
        return replace(who, tenant=_parse_tenant(named))

    def _check(self, token: str) -> Caller:
        self._reload()
        digest = hashlib.sha256(token.encode()).digest()
        cached, until, expires_at = self._cache.get(digest, (None, 0.0, 0.0))
        if cached is not None and time.monotonic() < until and time.time() < expires_at:
            return cached
        claims = self._verify(token)
        who = _caller_of(claims)
        if len(self._cache) >= CACHED_MAX:
            self._cache.clear()
        until = time.monotonic() + CACHED_SECONDS
        self._cache[digest] = (who, until, float(claims["exp"]))
        return who

    def _verify(self, token: str) -> dict[str, Any]:
        try:
            key = self._keys.get(str(jwt.get_unverified_header(token).get("kid")))
            if key is None:
                raise TokenInvalid("the token is signed with a key that is not known here")
            return jwt.decode(
                token,
                key,
                algorithms=["EdDSA"],
                audience=AUDIENCE,
                options={"require": ["exp", "iat", "aud"]},
            )
        except jwt.ExpiredSignatureError:
            raise TokenExpired("the token has expired") from None
        except (jwt.InvalidTokenError, ValueError, TypeError, RecursionError) as error:
            raise TokenInvalid(f"the token is not valid: {error}") from None

    def _reload(self) -> None:
        version = _version(self._file)
        if version == self._version:
            return
        try:
            self._keys = _read_keys(self._file)
        except (OSError, ValueError, TypeError, jwt.PyJWTError) as error:
            log.warning("token keys not read again", extra={"error": str(error)})
        else:
            self._cache.clear()
        self._version = version


class InternalToken:
    """The token a service presents to its peers, read again when its file changes."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._version: object = None
        self._token = ""

    def metadata(self, tenant: Tenant | None = None) -> tuple[tuple[str, str], ...]:
        """Return the metadata of a call in the name of `tenant`, or of the suite.

        Raises:
            OSError: the file was never readable.
        """
        version = _version(self._file)
        if version != self._version and (version is not None or not self._token):
            with open(self._file, encoding="utf-8") as lines:
                self._token = lines.read().strip()
            self._version = version
        bearer = ("authorization", f"Bearer {self._token}")
        return (bearer,) if tenant is None else (bearer, (TENANT_KEY, str(tenant)))


def issue_token(
    private_key_pem: bytes,
    *,
    kid: str,
    tenant: int | None,
    scopes: Sequence[str],
    expires_in: timedelta,
) -> str:
    """Return a token signed with an Ed25519 private key, good from now on for `expires_in`.

    Only a token with the scope `internal` may be without a tenant.
    """
    if tenant is None and INTERNAL_SCOPE not in scopes:
        raise FieldInvalid("tenant", "only an internal token may be without one")
    now = datetime.now(UTC)
    claims: dict[str, Any] = {"aud": AUDIENCE, "iat": now, "exp": now + expires_in}
    claims["scopes"] = list(scopes)
    if tenant is not None:
        claims["tenant"] = tenant
    return jwt.encode(claims, private_key_pem, algorithm="EdDSA", headers={"kid": kid})


def key_set(private_keys_pem: Mapping[str, bytes]) -> str:
    """Return the JSON key set (JWKS) that checks tokens of these private keys, by `kid`."""
    keys: list[dict[str, Any]] = []
    for kid, pem in private_keys_pem.items():
        private = load_pem_private_key(pem, password=None)
        if not isinstance(private, Ed25519PrivateKey):
            raise FieldInvalid(kid, "not an Ed25519 private key")
        public = OKPAlgorithm.to_jwk(private.public_key(), as_dict=True)
        keys.append({**public, "kid": kid, "alg": "EdDSA", "use": "sig"})
    return json.dumps({"keys": keys}, indent=2) + "\n"


def _caller_of(claims: Mapping[str, Any]) -> Caller:
    scopes, tenant = claims.get("scopes"), claims.get("tenant")
    if not isinstance(scopes, list) or not all(isinstance(scope, str) for scope in scopes):
        raise TokenInvalid("the token's scopes are not a list of strings")
    if tenant is None and INTERNAL_SCOPE not in scopes:
        raise TokenInvalid("the token names no tenant")
    if tenant is not None and (type(tenant) is not int or not 0 < tenant <= TENANT_MAX):
        raise TokenInvalid("the token's tenant is not a whole number above zero")
    return Caller(None if tenant is None else Tenant(tenant), frozenset(scopes))


def _parse_tenant(text: str | bytes) -> Tenant:
    plain = text if isinstance(text, str) else ""
    whole = plain.isascii() and plain.isdigit() and len(plain) < 12
    if not (whole and 0 < int(plain) <= TENANT_MAX):
        raise FieldInvalid(TENANT_KEY, f"{text!r} is not a tenant")
    return Tenant(int(plain))


def _read_keys(file: str) -> dict[str, Any]:
    with open(file, encoding="utf-8") as text:
        keys = jwt.PyJWKSet.from_json(text.read()).keys
    return {key.key_id: key.key for key in keys if key.key_id and key.key_type == "OKP"}


def _version(file: str) -> tuple[int, int, int] | None:
    try:
        seen = os.stat(file)
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_ino, seen.st_size
