"""Signing keys and tokens for tests."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from libs.auth import issue_token, key_set


def make_private_key() -> bytes:
    """Return a fresh Ed25519 private key as PEM."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass
class Keys:
    """A key set in a file, and tokens signed with its keys."""

    folder: Path
    private: dict[str, bytes] = field(default_factory=lambda: {"k1": make_private_key()})

    def __post_init__(self) -> None:
        self.write()

    @property
    def file(self) -> str:
        return str(self.folder / "keys.json")

    def write(self, text: str | None = None) -> None:
        """Write the key set, or `text`, as a new file: readers see the old or the new one."""
        fresh = self.folder / "keys.json.new"
        fresh.write_text(key_set(self.private) if text is None else text)
        os.replace(fresh, self.file)

    def token(
        self,
        *scopes: str,
        tenant: int | None = 7,
        kid: str = "k1",
        expires_in: timedelta = timedelta(hours=1),
    ) -> str:
        return issue_token(
            self.private[kid], kid=kid, tenant=tenant, scopes=scopes, expires_in=expires_in
        )

    def internal_token_file(self, scopes: Sequence[str] = ("internal",)) -> str:
        file = self.folder / "internal.token"
        file.write_text(self.token(*scopes, tenant=None) + "\n")
        return str(file)
