"""A fresh database per test, cloned from a template in some 20 ms.

Fixtures: `database_dsn` (empty).
"""

from dataclasses import dataclass
from typing import TypeAlias

import psycopg
import pytest
from pytest_postgresql import factories

from cleanup.demo.server import PORT, SUPERUSER
from tests.plugins.servers import DEBIAN_MAJOR, WHEEL_MAJOR, Servers

Connection: TypeAlias = "psycopg.Connection[tuple[object, ...]]"


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Our server in the words that pytest-postgresql reads."""

    host: str
    port: int = PORT
    user: str = SUPERUSER
    password: str | None = None
    options: str = ""
    maintenance_dbname: str = "postgres"
    template_dbname: str | None = None


# One chain of fixtures per version: a session fixture that pytest-postgresql asks for by name alone
# would stay with the first version when the tests go on to the next.
@pytest.fixture(scope="session")
def address_18(servers: Servers) -> ServerAddress:
    """Where the wheel's server answers."""
    return ServerAddress(servers.running(WHEEL_MAJOR).host)


@pytest.fixture(scope="session")
def address_15(servers: Servers) -> ServerAddress:
    """Where Debian's server answers."""
    return ServerAddress(servers.running(DEBIAN_MAJOR).host)


template_18 = factories.postgresql_noproc(depends_on="address_18")
template_15 = factories.postgresql_noproc(depends_on="address_15")
database_18 = factories.postgresql("template_18")
database_15 = factories.postgresql("template_15")


@pytest.fixture
def database_dsn(request: pytest.FixtureRequest, servers: Servers, major: int) -> str:
    """The connection string of an empty database of this test alone; nothing is connected to it."""
    connection: Connection = request.getfixturevalue(f"database_{major}")
    dbname = connection.info.dbname
    connection.close()
    return servers.running(major).dsn(dbname)
