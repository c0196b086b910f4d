"""What every service is told from outside: read once at start-up and passed down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

REQUIRED = (
    "DATABASE_URL",
    "WORKER_DATABASE_URL",
    "LISTEN_ADDRESS",
    "TOKEN_KEYS_FILE",
    "INTERNAL_TOKEN_FILE",
)
DRAIN_SECONDS = 10.0
CONNECTION_SECONDS = 300.0
TRUE = {"1", "true", "yes", "on"}
FALSE = {"", "0", "false", "no", "off"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """The part of the settings that all services share."""

    service: str  # ingest, rating, invoicing or wallet.
    database_url: str  # postgresql+asyncpg://…, as the app role: bound by row-level security.
    worker_database_url: str  # The same database as the worker role, which sees all tenants.
    nats_url: str
    listen_address: str  # host:port of the gRPC server.
    metrics_address: str | None  # host:port of the Prometheus text, None for no such endpoint.
    token_keys_file: str  # The JSON key set that callers' tokens are checked against.
    internal_token_file: str  # The token that this service presents to its peers.
    test_clock: bool  # Business time comes from TestClockService.
    traces_file: str | None  # Spans as JSON lines, when no OTLP endpoint is configured.
    drain_seconds: float  # How long RPCs in flight may take to finish at shutdown.
    connection_seconds: float  # Older connections are given up in good order.

    @classmethod
    def from_env(
        cls, service: str, env: Mapping[str, str], *, also: Sequence[str] = ()
    ) -> ServiceSettings:
        """Read the service's variables; `also` names further ones that must be there.

        Raises:
            SystemExit: a sentence naming every missing variable at once, or one that is wrong.
        """
        prefix = f"{service.upper()}_"
        found = require(env, ("NATS_URL", *(prefix + name for name in REQUIRED), *also))
        return cls(
            service=service,
            database_url=found[prefix + "DATABASE_URL"],
            worker_database_url=found[prefix + "WORKER_DATABASE_URL"],
            nats_url=found["NATS_URL"],
            listen_address=found[prefix + "LISTEN_ADDRESS"],
            metrics_address=env.get(prefix + "METRICS_ADDRESS") or None,
            token_keys_file=found[prefix + "TOKEN_KEYS_FILE"],
            internal_token_file=found[prefix + "INTERNAL_TOKEN_FILE"],
            test_clock=_flag(env, prefix + "TEST_CLOCK"),
            traces_file=env.get(prefix + "TRACES_FILE") or None,
            drain_seconds=_seconds(env, prefix + "DRAIN_SECONDS", DRAIN_SECONDS),
            connection_seconds=_seconds(
                env, prefix + "CONNECTION_SECONDS", CONNECTION_SECONDS, least=1
            ),
        )


def require(env: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Return the variables `names`; an empty one counts as missing.

    Raises:
        SystemExit: a sentence naming every missing one at once.
    """
    missing = [name for name in names if not env.get(name)]
    if missing:
        raise SystemExit(f"These environment variables must be set: {', '.join(missing)}.")
    return {name: env[name] for name in names}


def _flag(env: Mapping[str, str], name: str) -> bool:
    text = env.get(name, "").strip().lower()
    if text not in TRUE | FALSE:
        raise SystemExit(f"{name} is {env[name]!r}: set it to 1 or 0.")
    return text in TRUE


def _seconds(env: Mapping[str, str], name: str, default: float, *, least: int = 0) -> float:
    text = env.get(name)
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not least <= seconds <= 3600:
        raise SystemExit(f"{name} is {text!r}: set it to a number of seconds from {least} to 3600.")
    return seconds
