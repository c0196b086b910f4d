"""What tests run against: a real PostgreSQL and NATS, and the whole suite."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from deploy.embedded.nats import Nats
from deploy.embedded.stack import Stack
from tests.nursery import Nursery
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


@pytest.fixture
def lent_database(postgres: TestPostgres) -> Iterator[Callable[[str], Database]]:
    """Lends an empty, migrated database to a test, ten times as fast as `database` makes one."""
    with ExitStack() as lent:
        yield lambda service: lent.enter_context(postgres.lent(service))


@pytest.fixture(scope="session")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a NATS server with JetStream for all tests of this process."""
    server = Nats(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Starts services for all tests of this process."""
    nursery = Nursery()
    yield nursery
    nursery.stop()


@pytest.fixture(scope="module")
def suite(
    postgres: TestPostgres, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Suite]:
    """A fresh suite for the tests of a module: four services, a test clock, no data."""
    name = postgres.suite_name()
    with Stack(
        tmp_path_factory.mktemp("suite"),
        test_clock=True,
        postgres=postgres.server,
        suite=name,
        start_process=nursery.start,
        env={},
    ) as stack:
        yield Suite(stack)
        stack.hurry()  # Nothing of it is needed any more.
    postgres.drop(name)
