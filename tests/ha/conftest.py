"""The real etcd of tests/etcd, here as well."""

from tests.etcd.conftest import etcd, prefix, servers

__all__ = ["etcd", "prefix", "servers"]
