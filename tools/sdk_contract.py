"""What the contracts say that the thin clients are made from: services, methods, error reasons."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

from tally.common.v1 import options_pb2

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
# google/rpc lies there, put by googleapis-common-protos.
INCLUDES = (PROTO, Path(sysconfig.get_path("purelib")))
INTERNAL = "proto/tally/internal"  # Spoken among the services only.

SERVICE, METHOD, ENUM, ENUM_VALUE = 6, 2, 5, 2  # Field numbers in the paths of source locations.


@dataclass(frozen=True, slots=True)
class Listed:
    """What a method that lists by pages gives."""

    field: str  # "wallets"
    message: str  # "tally.wallet.v1.Wallet"


@dataclass(frozen=True, slots=True)
class Method:
    """A method that anyone with a token of the right scope may call."""

    name: str  # "ListWallets"
    path: str  # "/tally.wallet.v1.WalletService/ListWallets"
    request: str  # "tally.wallet.v1.ListWalletsRequest"
    answer: str
    doc: str
    streams: bool  # Many answers to one request.
    listed: Listed | None


@dataclass(frozen=True, slots=True)
class Service:
    """A gRPC service."""

    name: str  # "Wallet", of WalletService
    full_name: str  # "tally.wallet.v1.WalletService"
    file: str  # "tally/wallet/v1/wallet_service.proto"
    doc: str
    methods: tuple[Method, ...]
    left_out: Mapping[str, str]  # Why, by the name of the method.


@dataclass(frozen=True, slots=True)
class Reason:
    """A value of ErrorReason."""

    name: str  # "WALLET_NOT_FOUND"
    code: str  # "NOT_FOUND"
    doc: str  # "no such wallet."


@dataclass(frozen=True, slots=True)
class Contract:
    """All that is public."""

    files: tuple[FileDescriptorProto, ...]
    services: tuple[Service, ...]
    reasons: tuple[Reason, ...]


def read_contract() -> Contract:
    """Return what the public part of proto/ says."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "contract.binpb"
        compile_protos(f"--descriptor_set_out={found}", "--include_source_info")
        files = FileDescriptorSet.FromString(found.read_bytes()).file
    messages = {f".{file.package}.{one.name}": one for file in files for one in file.message_type}
    services = tuple(one for file in files for one in _services(file, messages))
    names = [service.name for service in services]
    if len(set(names)) < len(names):
        raise SystemExit(f"two gRPC services would be one attribute of the clients: {names}")
    errors = next(file for file in files if file.name == "tally/common/v1/errors.proto")
    return Contract(tuple(files), services, tuple(_reasons(errors)))


def public_protos() -> list[str]:
    """Return the paths, relative to proto/, of what the packages are made from."""
    files = sorted(PROTO.rglob("*.proto"))
    return [
        str(file.relative_to(PROTO))
        for file in files
        if not str(file.relative_to(ROOT)).startswith(INTERNAL)
    ]


def compile_protos(
    *arguments: str, path: Sequence[Path] = (), sources: Sequence[str] | None = None
) -> None:
    """Run protoc over the public contracts; its plugins stand in the folders of `path`."""
    command = [sys.executable, "-m", "grpc_tools.protoc"]
    command += [f"--proto_path={include}" for include in INCLUDES]
    command += [*arguments, *(sources or public_protos())]
    folders = [*path, Path(sysconfig.get_path("scripts")), "/usr/local/bin", "/usr/bin", "/bin"]
    env = {"PATH": ":".join(str(folder) for folder in folders)}
    subprocess.run(command, check=True, cwd=PROTO, env=env)


def snake(name: str) -> str:
    """Return the name as Python writes functions: ListWallets is list_wallets."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def camel(name: str) -> str:
    """Return the name as classes are written: WALLET_NOT_FOUND is WalletNotFound."""
    return "".join(part.capitalize() for part in name.split("_"))


def _services(
    file: FileDescriptorProto, messages: Mapping[str, DescriptorProto]
) -> Iterator[Service]:
    docs = _docs(file)
    for number, service in enumerate(file.service):
        full_name = f"{file.package}.{service.name}"
        methods, left_out = [], {}
        for index, method in enumerate(service.method):
            why = _why_left_out(method)
            if why:
                left_out[method.name] = why
                continue
            methods.append(
                Method(
                    name=method.name,
                    path=f"/{full_name}/{method.name}",
                    request=method.input_type[1:],
                    answer=method.output_type[1:],
                    doc=docs[SERVICE, number, METHOD, index],
                    streams=method.server_streaming,
                    listed=_listed(method, messages[method.output_type]),
                )
            )
        yield Service(
            name=service.name.removesuffix("Service"),
            full_name=full_name,
            file=file.name,
            doc=docs[SERVICE, number],
            methods=tuple(methods),
            left_out=left_out,
        )


def _why_left_out(method: MethodDescriptorProto) -> str:
    if method.options.Extensions[options_pb2.scope] == options_pb2.SCOPE_INTERNAL:
        return "internal"
    return "streams requests" if method.client_streaming else ""


def _listed(method: MethodDescriptorProto, answer: DescriptorProto) -> Listed | None:
    if not method.name.startswith("List"):
        return None
    repeated = [one for one in answer.field if one.label == FieldDescriptorProto.LABEL_REPEATED]
    if len(repeated) != 1 or all(one.name != "next_page_token" for one in answer.field):
        raise SystemExit(f"{method.name} lists, but its answer is not one list with a page token")
    return Listed(field=repeated[0].name, message=repeated[0].type_name[1:])


def _reasons(file: FileDescriptorProto) -> Iterator[Reason]:
    """Give each reason with the code that its comment begins with: "NOT_FOUND: no such meter."."""
    docs = _docs(file)
    place, enum = next((n, e) for n, e in enumerate(file.enum_type) if e.name == "ErrorReason")
    for index, value in enumerate(enum.value):
        if value.number:
            code, _, doc = docs[ENUM, place, ENUM_VALUE, index].partition(": ")
            if not re.fullmatch("[A-Z_]+", code):
                raise ValueError(f"the comment of {value.name} must begin with a code of gRPC")
            yield Reason(value.name.removeprefix("ERROR_REASON_"), code, doc)


def _docs(file: FileDescriptorProto) -> dict[tuple[int, ...], str]:
    return {
        tuple(one.path): "\n".join(line.strip() for line in one.leading_comments.splitlines())
        for one in file.source_code_info.location
        if one.leading_comments
    }
