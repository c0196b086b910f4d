"""The six targets: how each is killed and brought back."""

from __future__ import annotations

import asyncio
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.stack import Stack
from tests.chaos.calling import pause

SERVICES = ("ingest", "rating", "invoicing", "wallet")
TARGETS = (*SERVICES, "nats", "postgres")
TAIL_SECONDS_MAX = 0.6  # How much of what NATS has acknowledged a crash takes with it.
WHOLE_STORE = 0.2  # Of the crashes take everything: it is synced only every two minutes.


@dataclass(slots=True)
class Killer:
    """Kills parts of a stack as a crash of their machine would."""

    stack: Stack
    rng: random.Random

    async def kill(self, target: str) -> str:
        """Kill the target; returns what was special about it, for people."""
        if target != "nats":
            await asyncio.to_thread(self.stack.kill, target)
            return ""
        return await self._kill_nats()

    async def bring_back(self, target: str) -> None:
        """Start the target again where it was; returns when it takes calls."""
        if target in SERVICES:
            await asyncio.to_thread(self.stack.start_service, target)
        else:
            await asyncio.to_thread(self.stack.start_part, target)

    async def _kill_nats(self) -> str:
        """Kill nats-server and put back what its store held a moment before."""
        assert self.stack.nats is not None
        store = self.stack.nats.folder / "store"
        copy = store.with_name("store.before")
        whole = self.rng.random() < WHOLE_STORE
        seconds = self.rng.uniform(0, TAIL_SECONDS_MAX)
        if not whole:
            await asyncio.to_thread(copy_living, store, copy)
            await pause(seconds)
        await asyncio.to_thread(self.stack.kill, "nats")
        shutil.rmtree(store)
        if whole:
            return "its whole store lost"
        copy.rename(store)
        return f"its last {seconds:.2f} s lost"


def copy_living(source: Path, target: Path) -> None:
    """Copy a folder that is being written to, as a crash would leave it on the disk."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for path in sorted(source.rglob("*")):
        there = target / path.relative_to(source)
        try:
            if path.is_dir():
                there.mkdir(parents=True, exist_ok=True)
            else:
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, there)
        except FileNotFoundError:
            continue  # Gone since it was listed.
