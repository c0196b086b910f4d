"""`tally demo`: four stories, from their first event to their last invoice."""

from __future__ import annotations

import traceback
from pathlib import Path

import click
import grpc

from cli.client import readable, refusal
from cli.tables import open_console
from deploy.embedded.record import find_folder
from libs.errors import TallyError


@click.command()
@click.option(
    "--build",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/demo"),
    show_default=True,
    help="Where to write the documents and summary.json.",
)
def demo(build: Path) -> None:
    """Start a suite of its own, bill four stories of 2014, and show what came of it."""
    # Imported here: the stories are part of the project, but not of what is installed from it.
    try:
        from demo.failure import DemoFailed
        from demo.runner import run
    except ModuleNotFoundError as missing:
        if not (missing.name or "").startswith("demo"):
            raise
        raise click.ClickException("the stories are only in a clone of the project") from None
    folder = find_folder() / "demo"
    try:
        run(open_console(), folder=folder, build=build)
    except (DemoFailed, TallyError) as error:
        raise _failed(str(error), folder) from error
    except grpc.aio.AioRpcError as error:
        raise _failed(readable(refusal(error)), folder) from error
    except Exception as error:
        # Nobody foresaw it: what was said first is for the user, the rest for who mends it.
        said = str(error).partition("\n")[0]
        raise _failed(f"{type(error).__name__}: {said}", folder) from error


def _failed(said: str, folder: Path) -> click.ClickException:
    """Return the end of the command, and leave where it went wrong beside the services' logs."""
    log = folder / "logs" / "demo.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(traceback.format_exc())
    return click.ClickException(f"the demo failed: {said}\nThe logs are in {log.parent}.")
