"""The `tally` command explains itself: each command and option says what it is for."""

from collections.abc import Iterator

import click
from click.testing import CliRunner

from cli.__main__ import main
from tests.tidy import tree


def find_help_faults(name: str, command: click.Command) -> list[str]:
    """Find a command without help, and its options without help."""
    findings = [] if command.help else [f"{name} has no help"]
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not (parameter.help or parameter.hidden):
            findings.append(f"{name} {parameter.opts[0]} has no help")
    return findings


def commands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """Give `command` and all below it, by their full names."""
    yield name, command
    if isinstance(command, click.Group):
        for part, below in command.commands.items():
            yield from commands(f"{name} {part}", below)


def test_every_command_and_option_has_help() -> None:
    tree.check_none(sum([find_help_faults(*each) for each in commands("tally", main)], []))


def test_every_command_answers_help() -> None:
    for name, _ in commands("tally", main):
        answer = CliRunner().invoke(main, [*name.split()[1:], "--help"], prog_name="tally")
        assert answer.exit_code == 0, f"{name} --help: {answer.output}"
        assert f"Usage: {name}" in answer.output


def test_missing_help_is_found() -> None:
    silent = click.Command("stop", params=[click.Option(["--hard"])])
    assert find_help_faults("tally stop", silent) == [
        "tally stop has no help",
        "tally stop --hard has no help",
    ]
