"""One real etcd for all tests of a session; each test has keys of its own in it."""

import secrets
from collections.abc import Iterator

import pytest

from mcv.etcd.client import Etcd
from tests.etcd.server import Servers


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    servers = Servers("n1")
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()


@pytest.fixture
def etcd(servers: Servers) -> Iterator[Etcd]:
    etcd = servers.etcd()
    yield etcd
    etcd.gateway.close()


@pytest.fixture
def prefix() -> bytes:
    return f"/{secrets.token_hex(8)}/".encode()
