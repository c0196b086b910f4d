"""Writes the generated half of the TypeScript client: messages, errors, list of services."""

from __future__ import annotations

import json
from pathlib import Path

from tools.sdk_contract import Contract, Reason, Service, camel, compile_protos

MADE = "// Made from the contracts by `make sdk`; not edited by hand.\n"
GOOGLE = ["google/rpc/error_details.proto", "google/rpc/status.proto"]


def write_typescript(target: Path, contract: Contract, service_config: str, bin: Path) -> None:
    """Write all that is generated into `target`; `bin` holds protoc-gen-es."""
    target.mkdir(parents=True)
    options = "--es_opt=target=ts,import_extension=js"
    for sources in (None, GOOGLE):
        compile_protos(f"--es_out={target}", options, path=[bin], sources=sources)
    for package in sorted({file.package for file in contract.files}):
        files = sorted(file.name for file in contract.files if file.package == package)
        exports = [f'export * from "./{Path(name).stem}_pb.js";\n' for name in files]
        folder = target.joinpath(*package.split("."))
        (folder / "index.ts").write_text(MADE + "".join(exports))
    (target / "errors.ts").write_text(errors(contract.reasons))
    (target / "services.ts").write_text(services(contract.services))
    config = json.dumps(json.loads(service_config), indent=2)
    (target / "service_config.ts").write_text(
        f"{MADE}export const serviceConfig = {config} as const;\n"
    )


def errors(reasons: tuple[Reason, ...]) -> str:
    """Return the module of errors: a class for each code that has reasons, and for each reason.

    UNAVAILABLE is a code and its only reason: that is one class.
    """
    codes = list(dict.fromkeys(reason.code for reason in reasons))
    parts = [MADE, 'import { TallyError } from "../error.js";\n']
    for code in codes:
        parts.append(f"/** {code}, whatever the reason. */")
        parts.append(f"export class {camel(code)} extends TallyError {{}}\n")
    for reason in reasons:
        if reason.name not in codes:
            doc = " ".join(reason.doc.split())
            parts.append(f"/** {reason.code}: {doc} */")
            parts.append(f"export class {camel(reason.name)} extends {camel(reason.code)} {{}}\n")
    parts.append(_table("BY_CODE", codes))
    parts.append(_table("BY_REASON", [reason.name for reason in reasons]))
    return "\n".join(parts)


def services(found: tuple[Service, ...]) -> str:
    """Return the module that lists the services, and what of them is left out."""
    parts = [MADE, 'import type { ServiceClient } from "../types.js";']
    open_to_all = [one for one in found if one.methods]
    for one in open_to_all:
        file = one.file.removesuffix(".proto")
        parts.append(f'import {{ {one.name}Service }} from "./{file}_pb.js";')
    parts.append("\n/** The clients of all gRPC services, by name. */")
    parts.append("export interface Services {")
    for one in open_to_all:
        hidden = " | ".join(f'"{_local(name)}"' for name in one.left_out)
        hidden = f", {hidden}" if hidden else ""
        parts.append(f"  /** {' '.join(one.doc.split())} */")
        parts.append(
            f"  readonly {_local(one.name)}: ServiceClient<typeof {one.name}Service{hidden}>;"
        )
    parts.append("}\n\n/** The services by the names of their clients. */")
    parts.append("export const SERVICES = {")
    parts += [f"  {_local(one.name)}: {one.name}Service," for one in open_to_all]
    parts.append("};\n\n/** Methods that are for the services alone, or that stream requests. */")
    parts.append("export const LEFT_OUT: ReadonlySet<string> = new Set([")
    parts += [f'  "{one.full_name}/{name}",' for one in open_to_all for name in one.left_out]
    parts.append("]);\n")
    return "\n".join(parts)


def _local(name: str) -> str:
    return name[0].lower() + name[1:]


def _table(name: str, keys: list[str]) -> str:
    rows = "".join(f"  {key}: {camel(key)},\n" for key in keys)
    return f"export const {name}: Readonly<Record<string, typeof TallyError>> = {{\n{rows}}};\n"
