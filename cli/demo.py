"""`tally demo`: four stories, from their first event to their last invoice."""

from __future__ import annotations

from pathlib import Path

import click
import grpc
from rich.console import Console

from cli.client import readable, refusal
from demo.failure import DemoFailed
from demo.runner import run
from deploy.embedded.record import find_folder
from libs.errors import TallyError

WIDTH = 120  # Where nobody looks at a terminal: a file, a pipe.


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
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    folder = find_folder() / "demo"
    try:
        run(console, folder=folder, build=build)
    except (DemoFailed, TallyError, RuntimeError) as error:
        raise _failed(str(error), folder) from error
    except grpc.aio.AioRpcError as error:
        raise _failed(readable(refusal(error)), folder) from error


def _failed(said: str, folder: Path) -> click.ClickException:
    return click.ClickException(f"the demo failed: {said}\nThe logs are in {folder / 'logs'}.")
