"""What every test may ask for: a cluster of two in one process."""

from pathlib import Path

import pytest

from tests.fakes.cluster import FakeCluster


@pytest.fixture
def cluster(tmp_path: Path) -> FakeCluster:
    return FakeCluster(tmp_path)
