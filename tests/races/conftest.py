"""What races run on: the databases as the tests of each store open them."""

from tests.store.ingest.conftest import ingest_database, log
from tests.store.rating.conftest import world

__all__ = ["ingest_database", "log", "world"]
