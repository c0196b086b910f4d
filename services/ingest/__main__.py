"""Run the ingest service: `python -m services.ingest`."""

import asyncio
import gc
import os

from libs import telemetry
from libs.serve import run
from services.ingest.app import serve
from services.ingest.settings import Settings


async def main(stopping: asyncio.Event) -> None:
    """Read the settings and serve until `stopping`."""
    # A batch is tens of thousands of objects without cycles: looking for some costs a quarter.
    gc.set_threshold(100_000, 50, 100)
    settings = Settings.from_env(os.environ)
    telemetry.configure(settings.common)
    await serve(settings, stopping)


if __name__ == "__main__":
    run(main)
