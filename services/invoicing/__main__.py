"""Run the invoicing service: `python -m services.invoicing`."""

import asyncio
import os

from libs import telemetry
from libs.serve import run
from services.invoicing.app import serve
from services.invoicing.settings import Settings


def main() -> None:
    settings = Settings.from_env(os.environ)
    telemetry.configure(settings.service)

    async def until(stopping: asyncio.Event) -> None:
        await serve(settings, stopping)

    run(until)


if __name__ == "__main__":
    main()
