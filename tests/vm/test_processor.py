"""The processor that all nodes can do: told, kept, given to new VMs; what lacks it, by name."""

import pytest
from msgspec.structs import replace

from mcv.cluster import cpu_baseline
from mcv.document.hardware import Cpu
from mcv.errors import Refused
from mcv.vm import create, migrate, power
from tests.fakes.cluster import FakeCluster

BOTH = Cpu(model="Haswell", features={"aes": "disable"})


def make(cluster: FakeCluster, name: str = "web1", cpu_model: str | None = None) -> None:
    cluster.run(
        "n1", create.create, name=name, memory="64MiB", disks=["64MiB"], cpu_model=cpu_model
    )


def test_what_all_nodes_can_do_is_told_and_kept_when_asked(cluster: FakeCluster) -> None:
    told = cluster.run("n1", cpu_baseline.baseline)

    assert (told.cpu, told.stored, told.nodes) == (BOTH, None, ["n1", "n2"])
    assert cluster.read().cpu_baseline is None

    cluster.domains["n2"].processor.models = ["Nehalem"]
    told = cluster.run("n1", cpu_baseline.baseline, set=True)

    assert told.stored == told.cpu == replace(BOTH, model="Nehalem")
    assert cluster.read("n2").cpu_baseline == told.cpu


def test_a_new_vm_gets_what_is_kept_unless_another_is_asked_for(cluster: FakeCluster) -> None:
    make(cluster, "web0")
    cluster.run("n1", cpu_baseline.baseline, set=True)
    make(cluster, "web1")
    make(cluster, "web2", cpu_model="host-model")

    cpus = [cluster.read().vm(name).cpu for name in ("web0", "web1", "web2")]
    assert cpus == [None, BOTH, Cpu(model="host-model")]
    assert '<model fallback="forbid">Haswell</model>' in cluster.domains["n1"].defined["web1"]


def test_a_silent_or_offline_member_is_named(cluster: FakeCluster) -> None:
    cluster.down.add("n2")

    with pytest.raises(Refused, match="n2 is needed: n2 does not answer"):
        cluster.run("n1", cpu_baseline.baseline)


def test_a_dry_run_keeps_nothing(cluster: FakeCluster) -> None:
    plan = cluster.run("n1", cpu_baseline.baseline, set=True, dry_run=True).plan

    assert plan == ["document: new VMs get Haswell"] and cluster.read().cpu_baseline is None


def test_a_node_that_lacks_it_is_refused_by_name_before_anything_is_changed(
    cluster: FakeCluster,
) -> None:
    cluster.run("n1", cpu_baseline.baseline, set=True)
    make(cluster)
    cluster.domains["n2"].processor.models = ["Nehalem"]
    before = cluster.picture()
    lacks = "The processor of n2 lacks what web1 needs \\(Haswell\\)"

    with pytest.raises(Refused, match=lacks):
        cluster.run("n1", migrate.migrate, name="web1", to="n2")
    with pytest.raises(Refused, match=lacks.replace("web1", "web2")):
        make(cluster, "web2")
    assert cluster.picture() == before

    cluster.domains["n1"].processor.models = ["Nehalem"]
    with pytest.raises(Refused, match=lacks.replace("n2", "n1")):
        cluster.run("n1", power.start, name="web1")
    assert cluster.domains["n1"].active == {}


def test_a_processor_of_the_host_runs_everywhere(cluster: FakeCluster) -> None:
    make(cluster, cpu_model="host-passthrough")
    cluster.domains["n2"].processor.models = []

    cluster.run("n1", migrate.migrate, name="web1", to="n2")

    assert cluster.read().vm("web1").node == "n2"


def test_a_new_member_that_lacks_it_is_warned_of(cluster: FakeCluster) -> None:
    assert cpu_baseline.warning(cluster.hosts["n1"], "n2") == ""
    cluster.run("n1", cpu_baseline.baseline, set=True)
    assert cpu_baseline.warning(cluster.hosts["n1"], "n2") == ""

    cluster.domains["n2"].processor.models = ["Nehalem"]

    said = cpu_baseline.warning(cluster.hosts["n1"], "n2")
    assert said.startswith("The processor of n2 lacks what new VMs get (Haswell)")
