"""The `tally` command, put together from its parts."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterator
from importlib import import_module

import click

from deploy.embedded.record import suite_version

# Name, module: the command is the module's attribute of that name, or of the one behind a colon.
COMMANDS = {
    "up": "cli.stack",
    "down": "cli.stack",
    "status": "cli.stack",
    "migrate": "cli.stack",
    "token": "cli.token",
    "call": "cli.call",
    "clock": "cli.clock",
    "import": "cli.importing:import_",
    "export": "cli.exporting",
    "usage": "cli.usage",
    "bill": "cli.bill",
    "invoices": "cli.invoices",
    "trace": "cli.trace",
    "verify": "cli.verify",
    "demo": "cli.demo",
}


class Commands(UserDict[str, click.Command]):
    """Commands imported when they are needed: each alone is there much sooner than all of them."""

    def __getitem__(self, name: str) -> click.Command:
        if name not in self.data and name in COMMANDS:
            module, _, attribute = COMMANDS[name].partition(":")
            found = getattr(import_module(module), attribute or name)
            if not isinstance(found, click.Command):
                raise TypeError(f"{COMMANDS[name]} has no command {name}")
            self.data[name] = found
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


@click.group(commands=Commands(), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(suite_version(), prog_name="tally", help="Print the version.")
def main() -> None:
    """Meter usage and bill for it.

    Data is kept in .tally in the present folder, or in the folder that TALLY_HOME names.
    """


if __name__ == "__main__":
    main(prog_name="tally")
