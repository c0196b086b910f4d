"""Runs the conformance cases with the installed Python client: `runner.py [--sync] RUN.json`.

RUN.json names the case files and, for each case, where its services are and its tokens (see
README.md). Prints a line a case, "passed NAME" or "failed NAME: why"; fails if one failed.
"""

from __future__ import annotations

import asyncio
import importlib
import itertools
import json
import re
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from tally_client import AsyncTally, Tally, TallyError

EVENTUALLY_SECONDS = 60.0
DEADLINE_MS = 60_000  # Of a client whose case does not look at it, on a busy machine.


class Mismatch(Exception):
    """An answer or an error is not what the case expects."""


class Case:
    """One case: its client, and the variables that its steps share."""

    def __init__(self, case: dict[str, Any], run: dict[str, Any], sync: bool) -> None:
        self._steps = case["steps"]
        self._variables: dict[str, Any] = dict(run["variables"])
        tokens = itertools.cycle(run["tokens"])
        options: dict[str, Any] = {"token": next(tokens)}
        if case.get("token") == "fresh":
            options["token"] = lambda: next(tokens)
        options["deadline_seconds"] = case.get("deadlineMs", DEADLINE_MS) / 1000
        if "certificate" in run:
            options["credentials"] = grpc.ssl_channel_credentials(run["certificate"].encode())
        self._sync = sync
        self._client: Any = (Tally if sync else AsyncTally)(run["addresses"], **options)

    async def run(self) -> None:
        """Take the steps in order.

        Raises:
            Mismatch: at the first step that goes otherwise.
        """
        try:
            for number, step in enumerate(self._steps, start=1):
                try:
                    for _ in range(step.get("times", 1)):
                        await self._eventually(step)
                except Mismatch as wrong:
                    raise Mismatch(f"step {number}: {wrong}") from None
        finally:
            closed = self._client.close()
            if not self._sync:
                await closed

    async def _eventually(self, step: dict[str, Any]) -> None:
        """Take the step; one that says "eventually" again and again, until it goes right."""
        deadline = time.monotonic() + (EVENTUALLY_SECONDS if step.get("eventually") else 0)
        while True:
            try:
                return await self._step(step)
            except Mismatch:
                if time.monotonic() >= deadline:
                    raise
            await asyncio.sleep(0.1)

    async def _step(self, step: dict[str, Any]) -> None:
        wanted = step.get("error")
        try:
            answer = await self._ask(step)
        except TallyError as error:
            if wanted is None:
                raise Mismatch(f"{type(error).__name__}: {error}") from None
            check(seen(error), self._filled(wanted), "error")
            return
        if wanted is not None:
            raise Mismatch(f"no error, but {answer}")
        check(answer, self._filled(step.get("expect", step.get("expectEach"))), "answer")
        for name, path in step.get("save", {}).items():
            self._variables[name] = at(answer, path)

    async def _ask(self, step: dict[str, Any]) -> Any:
        """Make the step's call; an iteration gives a list."""
        name = step.get("call") or step["iterate"]
        package, service, method = re.split(r"\.(?=\w+/)|/", name)
        requests = importlib.import_module(f"tally_client.{package}")
        request = getattr(requests, f"{method}Request")()
        ParseDict(self._filled(step.get("request", {})), request)
        timeout = step["timeoutMs"] / 1000 if "timeoutMs" in step else None
        client = getattr(self._client, snake(service.removesuffix("Service")))
        if "call" in step:
            made = getattr(client, snake(method))
            if self._sync:
                return plain(await asyncio.to_thread(made, request, timeout=timeout))
            return plain(await made(request, timeout=timeout))
        items = getattr(client, re.sub("^list_", "iter_", snake(method)))(request, timeout=timeout)
        if isinstance(items, AsyncIterator):
            return [plain(item) async for item in items]
        return await asyncio.to_thread(lambda: [plain(item) for item in items])

    def _filled(self, value: Any) -> Any:
        """Return the value with "${name}" replaced, in all its texts."""
        match value:
            case dict():
                return {key: self._filled(one) for key, one in value.items()}
            case list():
                return [self._filled(one) for one in value]
            case str():
                return re.sub(r"\$\{([^}]+)\}", lambda found: self._variable(found[1]), value)
            case _:
                return value

    def _variable(self, name: str) -> str:
        if name.startswith("uuid:"):
            self._variables.setdefault(name, str(uuid4()))
        return str(self._variables[name])


def check(found: Any, wanted: Any, where: str) -> None:
    """Check that `found` has all of `wanted`: of an object a part, of a list every item in order.

    Raises:
        Mismatch: with the place.
    """
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for key, value in wanted.items():
            check(found.get(key), value, f"{where}.{key}")
    elif isinstance(wanted, list) and isinstance(found, list) and len(found) == len(wanted):
        for index, value in enumerate(wanted):
            check(found[index], value, f"{where}[{index}]")
    elif found != wanted:
        raise Mismatch(f"{where} is {found!r}, not {wanted!r}")


def seen(error: TallyError) -> dict[str, Any]:
    """Return what a case may say of an error."""
    delay = error.retry_delay_seconds
    return {
        "class": type(error).__name__,
        "code": error.code,
        "reason": error.reason,
        "metadata": error.metadata,
        "fields": [one.field for one in error.field_violations],
        "requestId": error.request_id,
        "retryDelayMs": None if delay is None else delay * 1000,
    }


def plain(message: Message) -> dict[str, Any]:
    """Return the message as canonical JSON has it."""
    return dict(MessageToDict(message))


def at(answer: Any, path: str) -> Any:
    """Return what lies at a path like "wallet.walletId"."""
    for name in path.split("."):
        answer = answer[name]
    return answer


def snake(name: str) -> str:
    """Return the name as Python writes functions: ListWallets is list_wallets."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


async def main() -> int:
    """Run every case; return 1 if one failed."""
    run = json.loads(Path(sys.argv[-1]).read_text(encoding="utf-8"))
    failed = 0
    for file in run["files"]:
        for case in json.loads(Path(file).read_text(encoding="utf-8"))["cases"]:
            name = case["name"]
            try:
                await Case(case, run["cases"][name], "--sync" in sys.argv).run()
                print(f"passed {name}", flush=True)
            except Mismatch as wrong:
                failed = 1
                print(f"failed {name}: {wrong}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
