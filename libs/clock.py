"""Business time: the wall's, or a test's that only moves when it is told to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from libs import db
from libs.errors import Refused

# One row for the whole service, empty until the test clock is first set. It belongs to no tenant:
# time is the suite's. Each service takes it into its schema with `clock.to_metadata(metadata)`.
clock = Table(
    "clock",
    MetaData(),
    Column("only", Boolean, nullable=False, server_default=text("true")),
    Column("instant", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("only"),
    CheckConstraint('"only"', name="clock_has_one_row"),
)


class ClockBackward(Refused):
    """The test clock only moves forward."""

    reason = "CLOCK_BACKWARD"


class Clock(Protocol):
    """Where business time comes from."""

    def now(self) -> datetime:
        """Return the present instant, in UTC."""

    def on_change(self, kick: Callable[[], None]) -> None:
        """Call `kick` whenever the time jumped: something may be due."""


class SystemClock:
    """The time on the wall. It never jumps: loops notice what is due by polling."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def on_change(self, kick: Callable[[], None]) -> None:
        pass


class TestClock:
    """A time kept in the service's database, so that it survives a kill.

    Until it is first set it gives the time on the wall; from then on it stands still between
    two calls of `set`.
    """

    __test__ = False  # Not a test case, whatever its name says.

    def __init__(self) -> None:
        self._instant: datetime | None = None
        self._kicks: list[Callable[[], None]] = []

    @property
    def moved(self) -> bool:
        """Whether it was ever set."""
        return self._instant is not None

    def now(self) -> datetime:
        return self._instant or datetime.now(UTC)

    def on_change(self, kick: Callable[[], None]) -> None:
        self._kicks.append(kick)

    async def load(self, engine: AsyncEngine) -> None:
        """Take up the time that was set before a restart, if any."""
        async with db.begin_worker(engine) as conn:
            instant = (await conn.execute(select(clock.c.instant))).scalar_one_or_none()
        self._instant = instant and instant.astimezone(UTC)

    async def set(self, engine: AsyncEngine, instant: datetime) -> None:
        """Move to `instant` (microseconds, aware) and kick every loop. Idempotent.

        Raises:
            ClockBackward: the clock was set before, to a later instant.
        """
        row = insert(clock).values(only=True, instant=instant)
        forward = row.on_conflict_do_update(
            index_elements=[clock.c.only],
            set_={"instant": row.excluded.instant},
            where=clock.c.instant <= row.excluded.instant,
        ).returning(clock.c.instant)
        async with db.begin_worker(engine) as conn:
            if (await conn.execute(forward)).first() is None:
                stands = (await conn.execute(select(clock.c.instant))).scalar_one()
                raise ClockBackward(
                    f"the clock stands at {stands.isoformat()}, after {instant.isoformat()}"
                )
        self._instant = instant.astimezone(UTC)
        for kick in self._kicks:
            kick()


async def open_clock(engine: AsyncEngine, *, test: bool) -> Clock:
    """Return the service's clock: the test clock with its stored time, or the wall's."""
    if not test:
        return SystemClock()
    loaded = TestClock()
    await loaded.load(engine)
    return loaded
