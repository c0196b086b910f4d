"""Who calls, for commands that may run for hours."""

from __future__ import annotations

import time

import jwt

from cli.running import TOKEN_LIFETIME, issue, public_scopes

RENEWED_AFTER_SECONDS = TOKEN_LIFETIME.total_seconds() / 2


class Access:
    """A token that was given, or ones made here and renewed before they end."""

    def __init__(self, *, token: str | None, tenant: int) -> None:
        self._given, self._tenant = token, tenant
        self._made = ""
        self._made_at = 0.0

    @property
    def tenant(self) -> str:
        """Return whose data the calls are about, as far as it can be told here."""
        if not self._given:
            return str(self._tenant)
        try:
            claims = jwt.decode(self._given, options={"verify_signature": False})
        except jwt.PyJWTError:
            return ""  # The services will say what is wrong with it.
        return str(claims.get("tenant", ""))

    @property
    def token(self) -> str:
        """Return a token that is good for half an hour at least, unless it was given.

        Raises:
            click.ClickException: no suite's key is here.
        """
        if self._given:
            return self._given
        if not self._made or time.monotonic() - self._made_at > RENEWED_AFTER_SECONDS:
            self._made = issue(None, tenant=self._tenant, scopes=public_scopes())
            self._made_at = time.monotonic()
        return self._made

    def metadata(self) -> list[tuple[str, str]]:
        """Return what a call carries, in place of what its client would add."""
        return [("authorization", f"Bearer {self.token}")]
