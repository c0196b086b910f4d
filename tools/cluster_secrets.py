"""Make the secrets of the dev overlay: passwords, URLs, the keys of tokens.

    python -m tools.cluster_secrets deploy/kustomize/overlays/dev/secrets
    python -m tools.cluster_secrets --keys-only FOLDER

What is there stays, only the services' own token is made anew: it is good for a year. The private
key that signs tokens, keys/signing-key.pem, is for the operator and goes into no cluster. With
TALLY_HOME=FOLDER, `tally token issue` signs with it.
"""

import argparse
from pathlib import Path

from deploy.embedded.databases import ROLES, SERVICES, role_name
from deploy.embedded.files import read_secret, write_whole
from deploy.embedded.keys import Keys


def main() -> None:
    """Make what is missing in the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--keys-only", action="store_true", help="for servers of your own")
    arguments = parser.parse_args()
    Keys(arguments.folder / "keys").ensure()
    if not arguments.keys_only:
        write_server_secrets(arguments.folder)


def write_server_secrets(folder: Path) -> None:
    """Write what PostgreSQL and NATS are set up with, and the URLs that lead to them."""
    passwords = {
        name: read_secret(folder / "passwords" / name)
        for name in ("postgres", "nats", *(role_name(s, r) for s in SERVICES for r in ROLES))
    }
    for service in SERVICES:
        for role, path in (
            ("app", "database/url"),
            ("worker", "database/worker-url"),
            ("owner", "database-owner/url"),
        ):
            name = role_name(service, role)
            url = f"postgresql+asyncpg://{name}:{passwords[name]}@postgres:5432/{service}"
            write_whole(folder / f"{service}-{path}", url)
    write_whole(folder / "nats-client" / "url", f"nats://tally:{passwords['nats']}@nats:4222")
    roles = {
        f"{name.upper()}_PASSWORD": password
        for name, password in passwords.items()
        if name != "nats"
    }
    write_environment(folder / "postgres-server.env", roles)
    # In quotes: nats-server reads a variable as it does its file, and -r1 as a broken number.
    write_environment(folder / "nats-server.env", {"NATS_PASSWORD": f'"{passwords["nats"]}"'})


def write_environment(path: Path, variables: dict[str, str]) -> None:
    """Write NAME=value, one a line."""
    write_whole(path, "".join(f"{name}={value}\n" for name, value in sorted(variables.items())))


if __name__ == "__main__":
    main()
