"""What every test may ask for: a cluster of two in one process."""

from pathlib import Path

import pytest

from tests.fakes.cluster import FakeCluster

# What a promise compares is to be shown where it is broken, as in a test.
pytest.register_assert_rewrite("tests.contract")


@pytest.fixture
def cluster(tmp_path: Path) -> FakeCluster:
    return FakeCluster(tmp_path)
