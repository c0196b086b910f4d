"""The keys of a data folder: what signs tokens, what checks them, and the suite's own token."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from deploy.embedded.files import write_whole
from libs.auth import INTERNAL_SCOPE, issue_token, key_set

INTERNAL_LIFETIME = timedelta(days=365)  # Written anew at each start of the stack.


class KeysMissing(RuntimeError):
    """The data folder has no keys yet."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The files of the keys in `folder`."""

    folder: Path

    @property
    def signing_key(self) -> Path:
        """The private Ed25519 key (PEM), for its owner only."""
        return self.folder / "signing-key.pem"

    @property
    def token_keys(self) -> Path:
        """The public key set (JWKS) that services check tokens against."""
        return self.folder / "token-keys.json"

    @property
    def internal_token(self) -> Path:
        """The token that services present to each other."""
        return self.folder / "internal-token"

    def ensure(self) -> None:
        """Make what is missing, and the internal token anew."""
        if not self.signing_key.exists():
            private = Ed25519PrivateKey.generate()
            pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            write_whole(self.signing_key, pem.decode())
        pem = self.signing_key.read_bytes()
        public = key_set({_key_id(pem): pem})
        if not self.token_keys.exists() or self.token_keys.read_text() != public:
            write_whole(self.token_keys, public, mode=0o644)
        internal = self.issue(tenant=None, scopes=[INTERNAL_SCOPE], expires_in=INTERNAL_LIFETIME)
        write_whole(self.internal_token, internal + "\n")

    def issue(self, *, tenant: int | None, scopes: Sequence[str], expires_in: timedelta) -> str:
        """Return a token that the services of this folder accept.

        Raises:
            KeysMissing: nothing was ever started here.
        """
        if not self.signing_key.exists():
            raise KeysMissing(f"{self.folder} holds no signing key: start the suite once first.")
        pem = self.signing_key.read_bytes()
        return issue_token(
            pem, kid=_key_id(pem), tenant=tenant, scopes=list(scopes), expires_in=expires_in
        )


def _key_id(pem: bytes) -> str:
    """Name a key by its public half, so that a new key has a new name."""
    public = load_pem_private_key(pem, password=None).public_key()
    return hashlib.sha256(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]
