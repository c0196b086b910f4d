"""What tests run against: a real PostgreSQL and NATS, and the whole suite."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.embedded.nats import Nats
from deploy.embedded.stack import Stack
from tests.servers import Database, TestPostgres
from tests.suite import Suite


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestPostgres]:
    """A PostgreSQL for all tests of this process."""
    server = TestPostgres.start(tmp_path_factory.mktemp("postgres"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def database(postgres: TestPostgres) -> Callable[[str], Database]:
    """Makes an empty, migrated database: `database("rating").app_url`."""
    return postgres.database


@pytest.fixture(scope="session")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a NATS server with JetStream for all tests of this process."""
    server = Nats(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(scope="module")
def suite(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A fresh suite for the tests of a module: four services, a test clock, no data."""
    with _started(postgres, tmp_path_factory.mktemp("suite")) as started:
        yield started


@pytest.fixture(scope="session")
def standing_suite(
    postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Suite]:
    """A suite for all modules whose tests have tenants of their own and leave the clock alone."""
    with _started(postgres, tmp_path_factory.mktemp("suite")) as started:
        yield started


@contextmanager
def _started(postgres: TestPostgres, folder: Path) -> Iterator[Suite]:
    name = postgres.suite_name()
    with Stack(folder, test_clock=True, postgres=postgres.server, suite=name, env={}) as stack:
        yield Suite(stack)
    postgres.drop(name)
