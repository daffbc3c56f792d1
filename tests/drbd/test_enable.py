"""DRBD for the cluster: enabled once, on every node; a dry run changes nothing."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from mcv.drbd import enable
from mcv.errors import Refused
from mcv.host import DryRun
from tests.fakes import cluster as fakes
from tests.fakes.cluster import FakeCluster


@pytest.fixture
def without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """A cluster in which DRBD is not enabled yet."""
    first = fakes._member_document(tmp_path, ("n1", "n2"))
    disabled = replace(first, drbd=replace(first.drbd, enabled=False))
    monkeypatch.setattr(fakes, "_member_document", lambda directory, names: disabled)
    return FakeCluster(tmp_path)


def secrets(cluster: FakeCluster) -> dict[str, str]:
    kept = {name: host.settings.pki for name, host in cluster.hosts.items()}
    return {
        f"{name} {path.name}": path.read_text()
        for name, directory in kept.items()
        for path in directory.glob("drbd-secret*")
    }


def test_a_dry_run_tells_the_steps_and_hands_nothing_out(without: FakeCluster) -> None:
    before, kept = without.picture(), secrets(without)

    plan = without.run("n1", enable.enable, dry_run=True)

    assert plan == DryRun(
        plan=["n1: drbd.take_secret", "n2: drbd.take_secret", "document: drbd.enable"]
    )
    assert without.picture() == before and secrets(without) == kept


def test_it_is_enabled_on_every_node_and_once(without: FakeCluster) -> None:
    kept = secrets(without)

    assert without.run("n1", enable.enable).nodes == ["n1", "n2"]

    assert without.read("n2").drbd.enabled
    handed_out = secrets(without)
    assert len(set(handed_out.values())) == 1 and handed_out != kept
    with pytest.raises(Refused, match="enabled already"):
        without.run("n1", enable.enable, dry_run=True)
