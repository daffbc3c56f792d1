"""An administrator's lock: whatever starts, stops, moves, changes or deletes the VM respects it."""

from collections.abc import Callable
from typing import Any

import pytest

from mcv.errors import Refused
from mcv.vm import (
    change,
    delete,
    devices,
    disk_add,
    disk_grow,
    disk_move,
    disk_remove,
    disk_set,
    edit,
    live,
    migrate,
    nics,
    pausing,
    power,
    reboot,
    register,
    rename,
)
from tests.fakes.cluster import FakeCluster

OVERLAY = "<domain><devices><watchdog model='i6300esb' action='reset'/></devices></domain>"

Verb = tuple[Callable[..., Any], dict[str, Any]]

OF_WHAT_RUNS: dict[str, Verb] = {
    "stop": (power.stop, {}),
    "shutdown": (power.shutdown, {}),
    "reset": (power.reset, {}),
    "reboot": (reboot.reboot, {}),
    "pause": (pausing.pause, {}),
    "migrate --online": (live.migrate, {"to": "n2"}),
}
OF_WHAT_IS_STOPPED: dict[str, Verb] = {
    "start": (power.start, {}),
    "migrate": (migrate.migrate, {"to": "n2"}),
    "delete": (delete.delete, {}),
    "rename": (rename.rename, {"new": "www"}),
    "unregister": (register.unregister, {}),
}
OF_EITHER: dict[str, Verb] = {
    "update": (change.update, {"cpus": 2}),
    "update --protect": (change.update, {"protect": "no"}),
    "edit": (edit.edit, {"overlay": OVERLAY}),
    "device add": (devices.add, {"type": "usb", "address": "1d6b:0002"}),
    "nic add": (nics.add, {"network": "lan"}),
    "nic set": (nics.set_, {"nic": "lan", "link": "down"}),
    "nic remove": (nics.remove, {"nic": "lan"}),
    "disk add": (disk_add.add, {"size": "8MiB"}),
    "disk remove": (disk_remove.remove, {"disk": 1}),
    "disk grow": (disk_grow.grow, {"disk": 1, "size": "128MiB"}),
    "disk set": (disk_set.set_, {"disk": 1, "values": {"iops": "5"}}),
    "disk move": (disk_move.move, {"disk": 1, "storage": "file"}),
}
CASES = [
    pytest.param(runs, verb, id=f"{name}, {'running' if runs else 'stopped'}")
    for runs, verbs in ((True, OF_WHAT_RUNS | OF_EITHER), (False, OF_WHAT_IS_STOPPED | OF_EITHER))
    for name, verb in verbs.items()
]


@pytest.mark.parametrize(("runs", "verb"), CASES)
def test_a_locked_vm_is_left_alone(vm: FakeCluster, runs: bool, verb: Verb) -> None:
    if runs:
        vm.run("n1", power.start, name="web1")
    vm.run("n1", change.lock, name="web1")
    function, params = verb
    before, states = vm.picture(), vm.domains["n1"].states()

    with pytest.raises(Refused) as refused:
        vm.run("n1", function, name="web1", **params)

    said = str([refused.value.message, refused.value.hint, refused.value.problems])
    assert "web1 is locked by an administrator" in said and "mcv unlock web1" in said
    assert vm.picture() == before and vm.domains["n1"].states() == states


def test_a_lock_is_the_same_on_every_node(vm: FakeCluster) -> None:
    vm.run("n1", change.lock, name="web1")
    assert [host.read().vm("web1").locked for host in vm.hosts.values()] == [True, True]

    vm.run("n1", change.unlock, name="web1")

    assert [host.read().vm("web1").locked for host in vm.hosts.values()] == [False, False]
    vm.run("n1", power.start, name="web1")
