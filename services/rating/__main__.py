"""Run the rating service: `python -m services.rating`."""

import asyncio
import os

from libs import telemetry
from libs.serve import run
from services.rating.app import serve
from services.rating.settings import Settings


async def main(stopping: asyncio.Event) -> None:
    """Read the settings and serve until `stopping`."""
    settings = Settings.from_env(os.environ)
    telemetry.configure(settings.common)
    await serve(settings, stopping)


if __name__ == "__main__":
    run(main)
