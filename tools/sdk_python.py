"""Writes the generated half of the Python client: messages, errors, and a class a service."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto

from tools.sdk_contract import Contract, Method, Reason, Service, camel, compile_protos, snake

PACKAGE = "tally_client"
MADE = '"""{}\n\nMade from the contracts by `make sdk`; not edited by hand.\n"""\n'


def write_python(target: Path, contract: Contract, service_config: str) -> None:
    """Write all that is generated into `target`, the folder of the package `tally_client`."""
    _write_messages(target, contract)
    (target / "errors.py").write_text(errors(contract.reasons))
    for file, waits in {"_clients.py": False, "_async_clients.py": True}.items():
        (target / file).write_text(clients(contract.services, waits=waits))
    (target / "service_config.json").write_text(json.dumps(json.loads(service_config)) + "\n")


def errors(reasons: tuple[Reason, ...]) -> str:
    """Return the module of errors: a class for each code that has reasons, and for each reason.

    UNAVAILABLE is a code and its only reason: that is one class.
    """
    codes = list(dict.fromkeys(reason.code for reason in reasons))
    own = [reason for reason in reasons if reason.name not in codes]
    parts = [MADE.format("A class for each reason a call can fail for, below that of its code.")]
    parts.append("from tally_client._error import TallyError")
    for code in codes:
        parts.append(
            f'\n\nclass {camel(code)}(TallyError):\n    """{code}, whatever the reason."""'
        )
    for reason in own:
        name, base = camel(reason.name), camel(reason.code)
        parts.append(f"\n\nclass {name}({base}):\n{_doc(f'{reason.code}: {reason.doc}', 4)}")
    parts.append(f"\n\nBY_CODE: dict[str, type[TallyError]] = {_table(codes)}")
    parts.append(f"BY_REASON: dict[str, type[TallyError]] = {_table(one.name for one in reasons)}")
    return "\n".join(parts) + "\n"


def clients(services: tuple[Service, ...], *, waits: bool) -> str:
    """Return the module of clients; with `waits` that of asyncio."""
    calls = "AsyncCalls" if waits else "Calls"
    services = tuple(one for one in services if one.methods)  # The others are internal.
    used = sorted({name for one in services for method in one.methods for name in _types(method)})
    packages = sorted({name.rpartition(".")[0] for name in used})
    parts = [MADE.format("The clients of the gRPC services.")]
    parts.append(f"from collections.abc import {'AsyncIterator' if waits else 'Iterator'}\n")
    parts.append(f"from tally_client._calls import {calls}")
    for package in packages:
        names = (name.rpartition(".")[2] for name in used if name.rpartition(".")[0] == package)
        parts.append(f"from {_module(package)} import (")
        parts += [f"    {name}," for name in names]
        parts.append(")")
    for service in services:
        parts.append(f"\n\nclass {_client(service, waits)}:\n{_doc(service.doc, 4)}\n")
        parts.append(f"    def __init__(self, calls: {calls}) -> None:")
        parts.append("        self._calls = calls")
        parts += [_method(method, waits) for method in service.methods]
    parts.append(f"\n\nclass {'Async' if waits else ''}Services:")
    parts.append('    """The clients of all gRPC services, by name."""\n')
    parts.append(f"    def __init__(self, calls: {calls}) -> None:")
    parts += [f"        self.{snake(one.name)} = {_client(one, waits)}(calls)" for one in services]
    return "\n".join(parts) + "\n"


def _method(method: Method, waits: bool) -> str:
    name, request, answer = snake(method.name), _name(method.request), _name(method.answer)
    iterator = "AsyncIterator" if waits else "Iterator"
    if method.streams:
        return f"""
    def {name}(
        self, request: {request}, *, timeout: float | None = None
    ) -> {iterator}[{answer}]:
{_doc(method.doc, 8)}
        path = "{method.path}"
        return self._calls.stream(path, request, {answer}, timeout)"""
    start, call = (
        ("async def", "await self._calls.unary") if waits else ("def", "self._calls.unary")
    )
    text = f"""
    {start} {name}(
        self, request: {request}, *, timeout: float | None = None
    ) -> {answer}:
{_doc(method.doc, 8)}
        path = "{method.path}"
        return {call}(path, request, {answer}, timeout)"""
    if method.listed is None:
        return text
    things = name.removeprefix("list_")
    return f"""{text}

    def iter_{things}(
        self, request: {request} | None = None, *, timeout: float | None = None
    ) -> {iterator}[{_name(method.listed.message)}]:
        \"\"\"Give what `{name}` lists, page after page; `timeout` is for each page.\"\"\"
        path = "{method.path}"
        asked = request or {request}()
        return self._calls.pages(path, asked, {answer}, "{method.listed.field}", timeout)"""


def _write_messages(target: Path, contract: Contract) -> None:
    """Write the messages below `tally_client` instead of `tally`, which is the suite's.

    The descriptors inside stay as they are, so that both may be loaded in one interpreter.
    """
    (target / "tally").mkdir(parents=True)
    compile_protos(f"--python_out={target}", f"--mypy_out=quiet:{target}")
    for file in sorted((target / "tally").rglob("*.py*")):
        moved = target / file.relative_to(target / "tally")
        moved.parent.mkdir(parents=True, exist_ok=True)
        text = re.sub(r"^from tally\.", f"from {PACKAGE}.", file.read_text(), flags=re.MULTILINE)
        text = text.replace("(DESCRIPTOR, 'tally.", f"(DESCRIPTOR, '{PACKAGE}.")
        moved.write_text(text)
        file.unlink()
    for folder in sorted((target / "tally").rglob("*"), reverse=True):
        folder.rmdir()
    (target / "tally").rmdir()
    for package in sorted({file.package for file in contract.files}):
        folder = target.joinpath(*package.split(".")[1:])
        files = [file for file in contract.files if file.package == package]
        (folder / "__init__.py").write_text(_index(package, files))
        (folder.parent / "__init__.py").write_text(f'"""The contracts of {package}."""\n')


def _index(package: str, files: list[FileDescriptorProto]) -> str:
    """Return a module that has every message and enum of the package."""
    parts = [MADE.format(f"The messages and enums of {package}.")]
    for file in sorted(files, key=lambda one: one.name):
        names = sorted(
            [one.name for one in file.message_type] + [one.name for one in file.enum_type]
        )
        module = f"{_module(package)}.{Path(file.name).stem}_pb2"
        parts += [f"from {module} import {name} as {name}" for name in names]
    return "\n".join(parts) + "\n"


def _types(method: Method) -> Iterator[str]:
    yield method.request
    yield method.answer
    if method.listed:
        yield method.listed.message


def _client(service: Service, waits: bool) -> str:
    return f"{'Async' if waits else ''}{service.name}Client"


def _module(package: str) -> str:
    return package.replace("tally.", f"{PACKAGE}.", 1)


def _name(full_name: str) -> str:
    return full_name.rpartition(".")[2]


def _table(names: Iterator[str] | list[str]) -> str:
    return "{\n" + "".join(f'    "{name}": {camel(name)},\n' for name in names) + "}"


def _doc(text: str, indent: int) -> str:
    """Return a docstring."""
    lines = text.splitlines()
    whole = f'"""{lines[0]}"""' if len(lines) == 1 else '"""' + "\n".join(lines) + '\n"""'
    return textwrap.indent(whole, " " * indent)
