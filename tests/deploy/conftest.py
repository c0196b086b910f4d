"""A cluster for the tests of this folder that do no harm to it."""

from collections.abc import Iterator

import pytest

from deploy.embedded.databases import create_databases
from deploy.embedded.postgres import Postgres


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """Give a running cluster with the four databases, without tables."""
    postgres = Postgres(tmp_path_factory.mktemp("cluster"))
    postgres.start()
    try:
        create_databases(postgres)
        yield postgres
    finally:
        postgres.stop()
