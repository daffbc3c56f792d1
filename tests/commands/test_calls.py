"""Each command's call: the operation it asks for, its parameters, and the sentence after it."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from mcv.api import table
from mcv.commands.root import front
from mcv.errors import McvError, NotFound, Refused
from tests.commands.conftest import FakeDaemon, Speak, a_vm
from tests.commands.test_fence import DEVICE, DRILL
from tests.commands.test_ha import (
    EXPLAINED,
    HA_DOMAIN,
    HA_ROW,
    HA_STATUS,
    MANAGED,
    SERVICE,
    SERVICE_MADE,
    SETTINGS,
)

MENDED = {"deed": "define", "subject": "web1"}
FINDING = {
    "severity": "warning",
    "node": "n1",
    "subject": "web1",
    "message": "web1 is not defined.",
    "hint": "",
    "fix": {**MENDED, "node": "n1", "text": "n1: define web1"},
}
MOVED = {"name": "web1", "disk": 2}
NOTHING: dict[str, Any] = {"lines": [], "cursors": {}, "more": [], "silent": {}}
EVENT = {
    "when": "2026-01-31T12:00:00.000Z",
    "node": "n1",
    "who": "alice",
    "what": "start",
    "subject": "web1",
    "outcome": "done",
}
DISK: dict[str, Any] = {
    "name": "web1",
    "size": "1GiB",
    "storage": None,
    "pool": None,
    "bus": None,
    "image": None,
    "volume": None,
    "cache": None,
    "nodes": None,
    "dry_run": False,
}
ASKED_FOR: list[tuple[str, str, dict[str, Any]]] = [
    ("info", "cluster.info", {}),
    ("info web1", "vm.info", {"name": "web1"}),
    ("list", "vm.list", {}),
    ("top", "top.show", {}),
    ("log n2 --lines 9", "node.log", {"name": "n2", "lines": 9, "cursors": {}}),
    ("log web1", "vm.log", {"name": "web1", "lines": 200, "cursors": {}}),
    (
        "events --since 2026-01-31T12:00:00Z",
        "event.list",
        {"since": "2026-01-31T12:00:00.000Z", "cursors": {}},
    ),
    (
        "list --tag prod --tag web --node n1 --state running",
        "vm.list",
        {"tags": ["prod", "web"], "node": "n1", "state": "running"},
    ),
    ("start web1", "vm.start", {"name": "web1", "ignore_verify": False}),
    ("start web1 --ignore-verify", "vm.start", {"name": "web1", "ignore_verify": True}),
    (
        "start web1 --dry-run",
        "vm.start",
        {"name": "web1", "ignore_verify": False, "dry_run": True},
    ),
    (
        "start web1 --discard-saved --yes",
        "vm.start",
        {"name": "web1", "ignore_verify": False, "discard_saved": True},
    ),
    (
        "update web1 --cpus 2 --discard-saved --yes",
        "vm.update",
        {
            "name": "web1",
            "memory": None,
            "cpus": 2,
            "discard_saved": True,
            "dry_run": False,
        },
    ),
    (
        "migrate --node n2 --online --discard-saved --yes web1",
        "vm.migrate_live",
        {
            "name": "web1",
            "to": "n2",
            "bandwidth": None,
            "ignore_verify": False,
            "discard_saved": True,
            "dry_run": False,
        },
    ),
    (
        "delete web1 --discard-saved --yes",
        "vm.delete",
        {"name": "web1", "keep_disks": False, "discard_saved": True, "dry_run": False},
    ),
    (
        "resync web1 --discard-saved --yes",
        "drbd.resync",
        {"name": "web1", "source": None, "discard_saved": True, "dry_run": False},
    ),
    (
        "drbd resolve web1 --keep n2 --discard-saved --yes",
        "drbd.resolve",
        {"name": "web1", "keep": "n2", "discard_saved": True, "dry_run": False},
    ),
    ("stop web1", "vm.stop", {"name": "web1", "node": None}),
    ("stop web1 --on n2", "vm.stop", {"name": "web1", "node": "n2"}),
    ("exec web1 ls", "vm.exec", {"name": "web1", "command": ["ls"]}),
    ("exec web1 ls", "vm.exec_state", {"name": "web1", "process": 77}),
    ("reboot web1", "vm.reboot", {"name": "web1", "wait": False, "timeout": None}),
    (
        "reboot web1 --wait --timeout 60",
        "vm.reboot",
        {"name": "web1", "wait": True, "timeout": 60.0},
    ),
    ("shutdown web1", "vm.shutdown", {"name": "web1", "wait": False, "timeout": None}),
    (
        "shutdown web1 --wait --timeout 1.5",
        "vm.shutdown",
        {"name": "web1", "wait": True, "timeout": 1.5},
    ),
    ("reset web1", "vm.reset", {"name": "web1"}),
    ("pause web1", "vm.pause", {"name": "web1"}),
    ("resume web1", "vm.resume", {"name": "web1"}),
    (
        "migrate --node n2 web1",
        "vm.migrate",
        {
            "name": "web1",
            "to": "n2",
            "wait_for_shutdown": False,
            "timeout": None,
            "start_after_migration": False,
            "ignore_verify": False,
            "dry_run": False,
        },
    ),
    (
        "migrate --node n2 --wait-for-shutdown --timeout 60 --start-after-migration"
        " --ignore-verify --dry-run web1",
        "vm.migrate",
        {
            "name": "web1",
            "to": "n2",
            "wait_for_shutdown": True,
            "timeout": 60.0,
            "start_after_migration": True,
            "ignore_verify": True,
            "dry_run": True,
        },
    ),
    (
        "migrate --node n2 --online --bandwidth 100MiB web1",
        "vm.migrate_live",
        {
            "name": "web1",
            "to": "n2",
            "bandwidth": "100MiB",
            "ignore_verify": False,
            "dry_run": False,
        },
    ),
    (
        "update web1 --memory 1GiB",
        "vm.update",
        {"name": "web1", "memory": "1GiB", "cpus": None, "dry_run": False},
    ),
    (
        "update web1 --cpu-model baseline --boot disk,net --firmware uefi --cpu-limit 150 "
        "--io-limit iops=5 --watchdog reset --video vga --keyboard de --clock utc --protect yes "
        "--description shop --tag prod --tag -web",
        "vm.update",
        {
            "name": "web1",
            "memory": None,
            "cpus": None,
            "cpu_model": "baseline",
            "boot": ["disk", "net"],
            "firmware": "uefi",
            "cpu_limit": "150",
            "io_limit": "iops=5",
            "watchdog": "reset",
            "video": "vga",
            "keyboard": "de",
            "clock": "utc",
            "protect": "yes",
            "description": "shop",
            "tags": ["prod", "-web"],
            "dry_run": False,
        },
    ),
    (
        "update web1 --cpus 4 --dry-run",
        "vm.update",
        {"name": "web1", "memory": None, "cpus": 4, "dry_run": True},
    ),
    (
        "update web1 --autostart yes --start-order 10 --start-delay 30",
        "vm.update",
        {
            "name": "web1",
            "memory": None,
            "cpus": None,
            "autostart": "yes",
            "start_order": 10,
            "start_delay": 30,
            "dry_run": False,
        },
    ),
    (
        "delete web1 --keep-disks --yes",
        "vm.delete",
        {"name": "web1", "keep_disks": True, "dry_run": False},
    ),
    (
        "register web1",
        "vm.register",
        {"name": "web1", "node": None, "accept_stale": False, "dry_run": False},
    ),
    (
        "register web1 --node n2 --accept-stale --yes",
        "vm.register",
        {"name": "web1", "node": "n2", "accept_stale": True, "dry_run": False},
    ),
    ("unregister web1", "vm.unregister", {"name": "web1"}),
    (
        "node set n2 --ip-address 10.0.0.9",
        "node.set",
        {"name": "n2", "ip_address": "10.0.0.9", "drbd_address": None, "dry_run": False},
    ),
    ("rename web1 www", "vm.rename", {"name": "web1", "new": "www", "dry_run": False}),
    ("lock web1", "vm.lock", {"name": "web1"}),
    ("unlock web1", "vm.unlock", {"name": "web1"}),
    ("verify web1", "drbd.verify", {"name": "web1"}),
    (
        "resync web1 --source n2 --yes",
        "drbd.resync",
        {"name": "web1", "source": "n2", "dry_run": False},
    ),
    ("cluster check", "cluster.check", {}),
    ("cluster check --fix --yes", "cluster.fix", {"fixes": [{**MENDED, "node": "n1"}]}),
    ("cluster facts", "cluster.facts", {}),
    ("cluster facts --json --reach 192.0.2.1:8420", "cluster.facts", {"reach": ["192.0.2.1:8420"]}),
    ("cluster stage-join", "cluster.stage_join", {"document": "typed"}),
    ("cluster unstage-join abc", "cluster.unstage_join", {"operation": "abc"}),
    (
        "cluster add-node --node n2 --ip-address 192.0.2.2",
        "cluster.host_key",
        {"ip_address": "192.0.2.2", "node": "n2"},
    ),
    (
        "cluster add-node --node n2 --ip-address 192.0.2.2 --host-key SHA256:x --dry-run",
        "cluster.add_node",
        {
            "node": "n2",
            "ip_address": "192.0.2.2",
            "password": None,
            "host_key": "SHA256:x",
            "dry_run": True,
        },
    ),
    (
        "cluster remove-node --node n2 --force --yes",
        "cluster.remove_node",
        {"node": "n2", "force": True, "dry_run": False},
    ),
    ("cluster leave --yes", "cluster.leave", {"dry_run": False}),
    ("cluster sync --from n2 --yes", "cluster.sync", {"node": "n2", "dry_run": False}),
    ("node offline n2 --yes", "node.offline", {"names": ["n2"], "confirm_dead": False}),
    (
        "node offline n2 n3 --confirm-dead --yes",
        "node.offline",
        {"names": ["n2", "n3"], "confirm_dead": True},
    ),
    ("node online n2", "node.online", {"name": "n2"}),
    (
        "node replace n2 --by n3 --yes",
        "node.replace",
        {"node": "n2", "by": "n3", "dry_run": False},
    ),
    (
        "node drain n2 --shutdown --wait",
        "node.drain",
        {"node": "n2", "shutdown": True, "wait": True, "dry_run": False},
    ),
    ("node restore n2", "node.restore", {"node": "n2", "dry_run": False}),
    (
        "cluster reboot --rolling --yes",
        "cluster.reboot",
        {"shutdown": False, "dry_run": False},
    ),
    (
        "cluster reboot --rolling --shutdown --yes",
        "cluster.reboot",
        {"shutdown": True, "dry_run": False},
    ),
    (
        "node reboot n2 --shutdown --yes",
        "node.reboot",
        {"node": "n2", "shutdown": True, "dry_run": False},
    ),
    ("node reboot n2 --wait --yes", "node.await_return", {"node": "n2", "boot": "b1"}),
    (
        "node power-off n2 --yes",
        "node.power_off",
        {"node": "n2", "shutdown": False, "dry_run": False},
    ),
    ("node wake n2", "node.wake", {"node": "n2", "dry_run": False}),
    ("node wake n2 --wait", "node.await_return", {"node": "n2", "boot": ""}),
    ("evacuate n2", "node.evacuate", {"node": "n2", "shutdown": False, "dry_run": False}),
    ("config show", "config.show", {"generation": None}),
    ("config show --generation 7", "config.show", {"generation": 7}),
    ("config history", "config.history", {}),
    ("config diff 1 2", "config.diff", {"a": 1, "b": 2}),
    ("permission add ada", "permission.add", {"user": "ada"}),
    ("permission remove ada", "permission.remove", {"user": "ada"}),
    ("permission list", "permission.list", {}),
    (
        "permission grant %ops power",
        "permission.grant",
        {"who": "%ops", "right": "power", "vm": None},
    ),
    (
        "permission revoke ada view --vm web*",
        "permission.revoke",
        {"who": "ada", "right": "view", "vm": "web*"},
    ),
    ("permission check ada", "permission.check", {"who": "ada"}),
    ("network create lan --bridge br0", "network.create", {"name": "lan", "bridge": "br0"}),
    ("cluster store", "cluster.store", {}),
    ("cluster store etcd --yes", "cluster.store_etcd", {"dry_run": False}),
    ("cluster store unanimous --yes", "cluster.store_unanimous", {"dry_run": False}),
    (
        "cluster store refresh --host-key SHA256:x",
        "cluster.store_refresh",
        {"host_key": "SHA256:x", "password": None, "dry_run": False},
    ),
    ("cluster store refresh", "cluster.witness_key", {}),
    ("cluster store etcd --no-witness --yes", "cluster.witness_remove", {"dry_run": False}),
    ("ha arm", "ha.arm", {"pace": None, "trust_softdog": False, "dry_run": False}),
    (
        "ha arm --pace 2 --trust-softdog",
        "ha.arm",
        {"pace": 2, "trust_softdog": True, "dry_run": False},
    ),
    ("ha disarm --yes", "ha.disarm", {"dry_run": False}),
    ("ha status", "ha.status", {}),
    ("ha add web1", "ha.add", {"name": "web1"}),
    (
        "ha add web1 --domain front --recovery relocate --max-restarts 2 --max-relocates 3 "
        "--window 60 --priority 4 --no-failback --state stopped",
        "ha.add",
        {
            "name": "web1",
            "domain": "front",
            "recovery": "relocate",
            "max_restarts": 2,
            "max_relocates": 3,
            "window": 60,
            "priority": 4,
            "failback": False,
            "state": "stopped",
        },
    ),
    (
        "ha set web1 --failback --state started",
        "ha.change",
        {"name": "web1", "failback": True, "state": "started"},
    ),
    ("ha set web1 --domain=", "ha.change", {"name": "web1", "domain": ""}),
    ("ha remove web1", "ha.remove", {"name": "web1"}),
    ("ha list", "ha.list", {}),
    ("ha what-if --dead n1 --dead n2", "ha.what_if", {"dead": ["n1", "n2"]}),
    ("ha explain web1", "ha.explain", {"name": "web1"}),
    ("ha together web1 web2", "ha.tie", {"kind": "together", "names": ["web1", "web2"]}),
    ("ha apart web1 web2", "ha.tie", {"kind": "apart", "names": ["web1", "web2"]}),
    ("ha tie list", "ha.ties", {}),
    ("ha tie remove apart web1 web2", "ha.untie", {"kind": "apart", "names": ["web1", "web2"]}),
    (
        "ha domain create front --node n1 --node n2:2 --ordered --restricted --no-failback",
        "ha.domain_create",
        {
            "name": "front",
            "nodes": {"n1": 1, "n2": 2},
            "ordered": True,
            "restricted": True,
            "failback": False,
        },
    ),
    ("ha domain list", "ha.domains", {}),
    ("ha domain delete front", "ha.domain_delete", {"name": "front"}),
    (
        "ha service create www --address 192.0.2.80/24 --bridge br0",
        "service.create",
        {
            "name": "www",
            "address": "192.0.2.80/24",
            "bridge": "br0",
            "units": [],
            "scripts": [],
            "monitor_link": True,
        },
    ),
    (
        "ha service create www --address 192.0.2.80/24 --bridge br0 --unit nginx --script /etc/a "
        "--script /etc/b --domain front --recovery relocate --no-monitor-link --sleeptime 3",
        "service.create",
        {
            "name": "www",
            "address": "192.0.2.80/24",
            "bridge": "br0",
            "units": ["nginx"],
            "scripts": ["/etc/a", "/etc/b"],
            "monitor_link": False,
            "domain": "front",
            "recovery": "relocate",
            "sleeptime": 3,
        },
    ),
    ("ha service start www", "service.start", {"name": "www", "dry_run": False}),
    ("ha service stop www", "service.stop", {"name": "www", "dry_run": False}),
    (
        "ha service migrate www --node n2",
        "service.migrate",
        {"name": "www", "to": "n2", "dry_run": False},
    ),
    ("ha service migrate www n2", "service.migrate", {"name": "www", "to": "n2", "dry_run": False}),
    ("ha service refresh www", "service.refresh", {"name": "www"}),
    ("ha service delete www --yes", "service.delete", {"name": "www", "dry_run": False}),
    (
        "fence device add bmc2 --agent fence_ipmilan ip=192.0.2.2 username=root",
        "fence.add_device",
        {
            "name": "bmc2",
            "agent": "fence_ipmilan",
            "parameters": {"ip": "192.0.2.2", "username": "root"},
            "secrets": {},
            "dry_run": False,
        },
    ),
    (
        "fence device set bmc2 ip=192.0.2.3",
        "fence.set_device",
        {"name": "bmc2", "parameters": {"ip": "192.0.2.3"}, "secrets": {}, "dry_run": False},
    ),
    ("fence device list", "fence.devices", {}),
    ("fence device remove bmc2", "fence.remove_device", {"name": "bmc2"}),
    (
        "fence set n2 --level 1 bmc2 pdu:7",
        "fence.set",
        {"node": "n2", "level": 1, "plugs": [["bmc2", ""], ["pdu", "7"]]},
    ),
    ("fence unset n2 --level 1", "fence.unset", {"node": "n2", "level": 1}),
    ("fence test n2", "fence.test", {"node": "n2"}),
    (
        "fence test n2 --off --yes",
        "fence.trial",
        {"node": "n2", "level": None, "dry_run": False},
    ),
    ("fence off n2 --yes", "fence.off", {"node": "n2", "dry_run": False}),
    ("fence on n2", "fence.on", {"node": "n2", "dry_run": False}),
    ("fence status n2", "fence.status", {"node": "n2"}),
    (
        "fence confirm n2 --yes",
        "node.offline",
        {"names": ["n2"], "confirm_dead": True},
    ),
    ("ha test --kill n3 --yes", "ha.drill", {"node": "n3", "dry_run": False}),
    ("ha settings", "ha.settings", {}),
    ("ha settings on-lost-lease=reset", "ha.set", {"values": {"on-lost-lease": "reset"}}),
    (
        "cluster store unanimous --confirm-dead n2 n3 --yes",
        "cluster.store_lost",
        {"names": ["n2", "n3"], "dry_run": False},
    ),
    ("cluster cpu-baseline", "cluster.cpu_baseline", {}),
    ("cluster cpu-baseline --set", "cluster.cpu_baseline", {"set": True, "dry_run": False}),
    ("network create out --nat", "network.create", {"name": "out", "nat": True}),
    (
        "network create dmz --bridge br0 --vlan 7 --mtu 9000 --on n2=br1 --on n3=br2",
        "network.create",
        {
            "name": "dmz",
            "bridge": "br0",
            "vlan": 7,
            "mtu": 9000,
            "on": {"n2": "br1", "n3": "br2"},
        },
    ),
    (
        "network set dmz --vlan 0 --on n2=",
        "network.set",
        {"name": "dmz", "vlan": 0, "on": {"n2": ""}},
    ),
    ("network delete lan", "network.delete", {"name": "lan"}),
    ("network list", "network.list", {}),
    ("nic list web1", "nic.list", {"name": "web1"}),
    (
        "nic add web1 --network lan --mac 52:54:00:00:00:01 --model e1000 --vlan 7 --link down",
        "nic.add",
        {
            "name": "web1",
            "network": "lan",
            "mac": "52:54:00:00:00:01",
            "model": "e1000",
            "vlan": 7,
            "link": "down",
            "dry_run": False,
        },
    ),
    (
        "nic set web1 lan --link up --dry-run",
        "nic.set",
        {
            "name": "web1",
            "nic": "lan",
            "network": None,
            "model": None,
            "vlan": None,
            "link": "up",
            "dry_run": True,
        },
    ),
    ("nic remove web1 lan", "nic.remove", {"name": "web1", "nic": "lan", "dry_run": False}),
    (
        "pool create fast --type thin --location vg0/thin --on n1 --on n2=vg1/thin",
        "pool.create",
        {
            "name": "fast",
            "type": "thin",
            "location": "vg0/thin",
            "on": ["n1", "n2=vg1/thin"],
            "dry_run": False,
        },
    ),
    (
        "pool add-node fast --node n2",
        "pool.add_node",
        {"name": "fast", "node": "n2", "location": None, "dry_run": False},
    ),
    (
        "pool remove-node fast --node n2",
        "pool.remove_node",
        {"name": "fast", "node": "n2", "dry_run": False},
    ),
    ("pool delete fast --yes", "pool.delete", {"name": "fast", "dry_run": False}),
    ("pool list", "pool.list", {}),
    ("disk list web1", "disk.list", {"name": "web1"}),
    ("disk add web1 1GiB", "disk.add", DISK),
    (
        "disk add web1 1GiB --storage file --pool p --bus scsi --volume v --cache none"
        " --nodes n1,n2 --dry-run",
        "disk.add",
        {
            **DISK,
            "storage": "file",
            "pool": "p",
            "bus": "scsi",
            "volume": "v",
            "cache": "none",
            "nodes": ["n1", "n2"],
            "dry_run": True,
        },
    ),
    (
        "disk remove web1 2 --yes",
        "disk.remove",
        {"name": "web1", "disk": 2, "keep": False, "dry_run": False},
    ),
    (
        "disk remove web1 2 --keep --yes",
        "disk.remove",
        {"name": "web1", "disk": 2, "keep": True, "dry_run": False},
    ),
    (
        "disk grow web1 2 2GiB",
        "disk.grow",
        {"name": "web1", "disk": 2, "size": "2GiB", "dry_run": False},
    ),
    (
        "disk move web1 2 --pool fast",
        "disk.move",
        {**MOVED, "pool": "fast", "storage": None, "nodes": None, "dry_run": False},
    ),
    (
        "disk move web1 2 --from n2 --to n3",
        "disk.move",
        {
            **MOVED,
            "pool": None,
            "storage": None,
            "nodes": None,
            "dry_run": False,
            "source": "n2",
            "to": "n3",
        },
    ),
    (
        "disk move web1 2 --storage drbd --nodes n1,n2 --dry-run",
        "disk.move",
        {**MOVED, "pool": None, "storage": "drbd", "nodes": ["n1", "n2"], "dry_run": True},
    ),
    (
        "disk set web1 2 iops=100 cache=none",
        "disk.set",
        {
            "name": "web1",
            "disk": 2,
            "values": {"iops": "100", "cache": "none"},
            "dry_run": False,
        },
    ),
    (
        "image add netinst https://images.example/netinst.iso --kind iso --on n2 --allow-private",
        "image.add",
        {
            "name": "netinst",
            "url": "https://images.example/netinst.iso",
            "sha256": None,
            "kind": "iso",
            "format": None,
            "on": ["n2"],
            "allow_private": True,
            "dry_run": False,
        },
    ),
    (
        "image sync netinst --on n2 --on n3",
        "image.sync",
        {"name": "netinst", "on": ["n2", "n3"], "dry_run": False},
    ),
    (
        "image drop netinst --on n2",
        "image.drop_copy",
        {"name": "netinst", "node": "n2", "dry_run": False},
    ),
    ("image delete netinst --yes", "image.delete", {"name": "netinst", "dry_run": False}),
    ("image list", "image.list", {}),
    ("drbd enable", "drbd.enable", {}),
    ("drbd enable --dry-run", "drbd.enable", {"dry_run": True}),
    ("drbd list", "drbd.list", {}),
    ("drbd resolve web1 --keep n2 --dry-run", "drbd.prospects", {"name": "web1", "keep": "n2"}),
    (
        "drbd resolve web1 --keep n2 --yes",
        "drbd.resolve",
        {"name": "web1", "keep": "n2", "dry_run": False},
    ),
    (
        "drbd set resync-rate=1MiB on-peer-loss=wait",
        "drbd.set",
        {"values": {"resync-rate": "1MiB", "on-peer-loss": "wait"}},
    ),
    ("job list", "job.list", {}),
    ("job show job7", "job.show", {"job": "job7"}),
    ("job wait job7", "job.show", {"job": "job7"}),
    ("job cancel job7", "job.cancel", {"job": "job7"}),
    ("repair", "repair", {}),
    ("locks list", "locks.list", {}),
    ("locks clear web1 --yes", "locks.clear", {"name": "web1"}),
    (
        "device add web1 usb 1d6b:0002",
        "device.add",
        {"name": "web1", "type": "usb", "address": "1d6b:0002", "dry_run": False},
    ),
    (
        "device remove web1 pci 0000:03:00.0",
        "device.remove",
        {"name": "web1", "type": "pci", "address": "0000:03:00.0", "dry_run": False},
    ),
    ("device list web1", "device.list", {"name": "web1"}),
    ("device list --node n1", "node.devices", {"node": "n1"}),
    ("edit web1 --show", "vm.overlay", {"name": "web1"}),
    ("edit web1 --file - --show", "vm.overlay", {"name": "web1", "overlay": "typed"}),
    (
        "edit web1 --remove --yes",
        "vm.edit",
        {"name": "web1", "overlay": "", "dry_run": False},
    ),
    (
        "start web1 --without-overlay",
        "vm.start",
        {"name": "web1", "ignore_verify": False, "without_overlay": True},
    ),
]
CREATE = "create web1 --memory 1GiB"
CREATED = {
    "name": "web1",
    "memory": "1GiB",
    "cpus": 1,
    "disks": [],
    "storage": None,
    "pool": None,
    "image": None,
    "node": None,
    "nodes": None,
    "networks": [],
    "iso": None,
    "dry_run": False,
}
# What the table itself adds to a call, or takes away from it.


@pytest.fixture
def daemon(daemon: FakeDaemon) -> FakeDaemon:
    """Answers everything a little, so that each command comes to its end."""
    job = {"id": "job7", "title": "start web1", "state": "done", "node": "n1", "error": None}
    times = {"who": "ada", "began": "2024-01-01T00:00:00Z", "ended": "", "progress": []}
    disk = {"id": 1, "target": "vda", "size": 1024, "storage": "drbd", "path": "/dev/drbd100"}
    verify = {"result": "never", "when": "", "out_of_sync": 0, "blocked": False}
    info = {"uuid": "u", "disks": [{**disk, "drbd": None}], "networks": [], "verify": verify}
    daemon.answers.update(
        {
            "node.reboot": {"node": "n2", "boot": "b1"},
            "node.wake": {"plugs": ["pdu:2"], "packets": {}, "macs": [], "trouble": ""},
            "cluster.info": {
                "cluster": None,
                "epoch": 1,
                "generation": 1,
                "hash": "h",
                "node": "n1",
                "nodes": [],
                "vms": 0,
                "attention": [],
            },
            "cluster.check": {"ok": True, "findings": [FINDING]},
            "vm.list": [a_vm()],
            "vm.info": {**a_vm(), **info, "vnc": None},
            "cluster.host_key": {"fingerprint": "SHA256:x", "type": "ssh-rsa", "known": True},
            "cluster.witness_key": {"fingerprint": "SHA256:x", "type": "ssh-rsa", "known": True},
            "config.history": [],
            "config.diff": {"lines": []},
            "permission.list": {"superusers": [], "grants": []},
            "permission.check": {"who": "ada", "known": True, "open": True, "rights": []},
            "network.list": [],
            "pool.list": [],
            "drbd.list": [],
            "disk.list": [],
            "image.list": [],
            "drbd.prospects": {"lose": "n1", "lines": []},
            "job.list": [],
            "vm.log": lambda params: (
                NOTHING if params["name"] == "web1" else NotFound(f"No VM {params['name']}.")
            ),
            "node.log": NOTHING,
            "top.show": {"nodes": [], "vms": []},
            "event.list": {"events": [EVENT], "cursors": {}, "more": [], "silent": {}},
            "job.show": {**job, **times, "cancellable": False},
            "locks.list": {"claims": [], "locks": [], "held": []},
            "cluster.store": {"store": "unanimous", "quorum": True, "voters": []},
            "ha.status": HA_STATUS,
            "ha.settings": SETTINGS,
            "ha.list": [HA_ROW],
            "ha.what_if": [{"name": "web1", "from": "n1", "to": "n2", "why": "n1 is offline"}],
            "ha.explain": EXPLAINED,
            "ha.domains": [HA_DOMAIN],
            "ha.ties": [{"kind": "apart", "names": ["web1", "web2"]}],
            "vm.take_seed": {"node": "n1", "token": "t", "size": 10},
            "vm.take_image": {"node": "n1", "token": "t", "size": 1024},
        }
    )
    power = ("vm.start", "vm.stop", "vm.shutdown", "vm.reset", "vm.pause", "vm.resume")
    for operation in (*power, "vm.reboot", "vm.unregister"):
        daemon.job(operation, {"node": "n1", "state": "stopped"})
    daemon.job("vm.exec", {"node": "n1", "process": 77})
    daemon.answers["vm.exec_state"] = {"ended": True, "stdout": "aGkK"}
    daemon.job("vm.delete", {"kept": ["mcv-web1-1"]})
    daemon.job("cluster.fix", {"ok": True, "findings": [], "fixed": []})
    clean = {"vm": "web1", "disk": 1, "result": "clean", "out_of_sync": 0, "seconds": 1.0}
    daemon.job("drbd.verify", [clean])
    cpu = {"model": "Haswell", "features": {"aes": "disable"}}
    daemon.job("cluster.cpu_baseline", {"cpu": cpu, "stored": None, "nodes": ["n1"], "set": False})
    daemon.job("ha.arm", {"armed": True, "pace": 1, "wait": 22, "marked": [], "foreign": {}})
    daemon.job("ha.disarm", {"armed": False, "nodes": ["n1"]})
    daemon.job("ha.set", SETTINGS)
    for operation in ("ha.add", "ha.change"):
        daemon.job(operation, MANAGED)
    for operation in ("service.start", "service.stop", "service.migrate", "service.refresh"):
        daemon.job(operation, SERVICE)
    daemon.job("service.create", SERVICE_MADE)
    daemon.job("service.delete", {"name": "www"})
    daemon.job("ha.remove", {"name": "web1"})
    daemon.job("ha.domain_create", HA_DOMAIN)
    daemon.job("ha.domain_delete", {"name": "front"})
    for operation in ("ha.tie", "ha.untie"):
        daemon.job(operation, {"kind": "apart", "names": ["web1", "web2"]})
    daemon.job("ha.drill", DRILL)
    for operation in ("fence.add_device", "fence.set_device"):
        daemon.job(operation, DEVICE)
    daemon.job("drbd.enable", {"nodes": ["n1", "n2"]})
    daemon.job("drbd.set", {"resync-rate": 1024**2, "on-peer-loss": "wait"})
    daemon.job("repair", {"settled": [], "left": []})
    daemon.job("vm.create", {"node": "n1"})
    added = {"name": "web1", "disk": 2, "target": "vdb", "size": 1024**3, "attached": True}
    daemon.job("disk.add", added)
    daemon.job("disk.remove", {"kept": ["mcv-web1-2"]})
    daemon.job("disk.grow", {"size": 1024**3})
    daemon.job("disk.set", {"said": "cache none", "pending": ["cache none"]})
    for operation in ("pool.create", "pool.add_node"):
        daemon.job(operation, {"name": "fast", "type": "lvm", "nodes": {"n1": "vg0"}})
    daemon._jobs["job7"] = dict
    return daemon


@pytest.mark.parametrize(("words", "operation", "params"), ASKED_FOR)
def test_a_command_asks_for_its_operation(
    mcv: Speak, daemon: FakeDaemon, words: str, operation: str, params: dict[str, Any]
) -> None:
    heard = mcv(words, typed="typed")

    assert (heard.code, heard.err) == (0, "")
    assert heard.out
    assert daemon.asked(operation) == [params]


@pytest.mark.parametrize("words", [words for words, _, _ in ASKED_FOR])
def test_every_command_speaks_json_and_nothing_else(
    mcv: Speak, daemon: FakeDaemon, words: str
) -> None:
    heard = mcv(words.replace("--json", ""), "--json", typed="typed")

    assert (heard.code, heard.err) == (0, "")
    assert heard.json is not None


@pytest.mark.parametrize(
    ("options", "different"),
    [
        ([], {}),
        (["--cpus", "4"], {"cpus": 4}),
        (["--disk", "8GiB", "--disk", "2 TiB"], {"disks": ["8GiB", "2 TiB"]}),
        (["--node", "n2", "--nodes", "n1, n2"], {"node": "n2", "nodes": ["n1", "n2"]}),
        (["--network", "lan", "--network", "dmz"], {"networks": ["lan", "dmz"]}),
        (["--storage", "drbd", "--pool", "p"], {"storage": "drbd", "pool": "p"}),
        (["--iso", "debian"], {"iso": "debian"}),
        (["--start"], {"start": True}),
        (
            ["--machine", "pc", "--firmware", "bios", "--boot", "cd, disk", "--cpu-model", "M"],
            {"machine": "pc", "firmware": "bios", "boot": ["cd", "disk"], "cpu_model": "M"},
        ),
        (["--dry-run"], {"dry_run": True}),
    ],
)
def test_create_passes_on_what_was_asked_for(
    mcv: Speak, daemon: FakeDaemon, options: list[str], different: dict[str, Any]
) -> None:
    heard = mcv(CREATE, *options)

    assert heard.code == 0
    assert daemon.asked("vm.create") == [{**CREATED, **different}]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({}, "web1 is created on n1. Start it: mcv start web1\n"),
        ({"started": True}, "web1 is created on n1 and runs.\n"),
        (
            {"rounded": [{"disk": 1, "asked": 10**9, "size": 1002438656}]},
            "web1 is created on n1. Disk 1 has 956MiB, rounded up from 1000000000 bytes. "
            "Start it: mcv start web1\n",
        ),
    ],
)
def test_create_says_what_came_of_it(
    mcv: Speak, daemon: FakeDaemon, answer: dict[str, Any], said: str
) -> None:
    daemon.job("vm.create", {"node": "n1", **answer})

    assert mcv(CREATE).out == said


def test_an_image_is_named_where_there_is_one_of_that_name(
    mcv: Speak, daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = {"n1": {"state": "ready", "done": 100.0, "problem": ""}}
    row = {"name": "debian", "kind": "disk", "format": "raw", "size": 1, "nodes": nodes}
    daemon.answers["image.list"] = [{**row, "used_by": []}]
    monkeypatch.chdir(tmp_path)
    for name in ("debian", "suse"):
        (tmp_path / name).write_bytes(b"boot")

    for words in (CREATE, "disk add web1"):
        mcv(words, "--image", "debian")
        mcv(words, "--image", "suse")
    mcv(words, "--image", "debian", "--image-format", "raw")

    given = [created(daemon), daemon.asked("disk.add")]
    taken = {"node": "n1", "token": "t", "size": 1024}
    assert [[each["image"] for each in asked] for asked in given] == [
        [{"name": "debian"}, taken],
        [{"name": "debian"}, taken, taken],
    ]


def test_a_setting_of_a_disk_is_said_once(mcv: Speak, daemon: FakeDaemon) -> None:
    told = {"said": "bandwidth 10MiB/s, cache none", "pending": ["cache none"]}
    daemon.job("disk.set", told)

    heard = mcv("disk set web1 1", "bandwidth=10MiB", "cache=none")

    assert heard.out == ("Disk 1 of web1: bandwidth 10MiB/s; from the next start on: cache none.\n")


def created(daemon: FakeDaemon) -> list[dict[str, Any]]:
    """The creations that were asked for, without the looks before a file is read."""
    return [asked for asked in daemon.asked("vm.create") if not asked["dry_run"]]


def test_all_files_and_all_else_that_is_wrong_is_told_at_once(
    mcv: Speak, daemon: FakeDaemon
) -> None:
    daemon.answers["vm.create"] = Refused("There is a VM web1 already.", "See: mcv list")

    heard = mcv(
        *(CREATE, "--image", "/nonexistent/image", "--iso", "/nonexistent/cd", "--json"),
        *("--cloud-init", "/nonexistent/data", "--kernel", "/nonexistent/kernel"),
    )

    assert heard.code == 3
    assert [problem["message"] for problem in heard.error["problems"]] == [
        "/nonexistent/data cannot be read: No such file or directory.",
        "/nonexistent/kernel cannot be read: No such file or directory.",
        "/nonexistent/image cannot be read: No such file or directory.",
        "/nonexistent/cd cannot be read: No such file or directory.",
        "There is a VM web1 already.",
    ]


def test_a_file_is_not_read_for_what_is_refused_anyway(
    mcv: Speak, daemon: FakeDaemon, tmp_path: Path
) -> None:
    (tmp_path / "debian.raw").write_bytes(b"boot")
    daemon.answers["vm.create"] = Refused("There is no pool nix.")

    heard = mcv(CREATE, "--image", str(tmp_path / "debian.raw"))

    assert heard.code == 3 and "There is no pool nix." in heard.err
    assert daemon.asked("vm.take_image") == [] == created(daemon)


def test_what_else_is_wrong_is_told_beside_a_node_that_is_none(
    mcv: Speak, daemon: FakeDaemon
) -> None:
    def refuse(params: dict[str, Any]) -> McvError:
        if params["node"]:
            return Refused("There is no node nix.")
        return Refused("There is a VM web1 already.")

    daemon.answers["vm.create"] = refuse

    heard = mcv(CREATE, "--node", "nix", "--json")

    told = [problem["message"] for problem in heard.error["problems"]]
    assert told == ["There is no node nix.", "There is a VM web1 already."]


def test_a_file_for_the_cd_drive_becomes_an_image_first(
    mcv: Speak, daemon: FakeDaemon, tmp_path: Path
) -> None:
    path = tmp_path / "Debian_12.5.iso"
    path.write_bytes(b"boot")
    daemon.job("image.add", {"name": "debian-12-5"})

    named, given = mcv(CREATE, "--iso", "netinst"), mcv(CREATE, "--iso", str(path))
    shown = mcv(CREATE, "--iso", str(path), "--dry-run")

    assert [asked["iso"] for asked in created(daemon)] == ["netinst", "debian-12-5"]
    assert [asked["name"] for asked in daemon.asked("image.add")] == ["debian-12-5"]
    assert (named.code, given.code, shown.code) == (0, 0, 3)
    assert f"mcv image add debian-12-5 {path}" in shown.err


def test_an_image_is_handed_over_open(mcv: Speak, daemon: FakeDaemon, tmp_path: Path) -> None:
    (tmp_path / "debian.raw").write_bytes(b"boot")
    read: list[bytes] = []
    image = {"node": "n1", "token": "t", "size": 1024}

    def take(params: dict[str, Any]) -> dict[str, Any]:
        read.append(Path(f"/proc/self/fd/{params['fd']}").read_bytes())
        return image

    daemon.answers["vm.take_image"] = take

    heard = mcv(CREATE, "--disk", "1GiB", "--image", str(tmp_path / "debian.raw"))

    assert (heard.code, read) == (0, [b"boot"])
    assert created(daemon)[0]["image"] == image


def test_what_sets_a_guest_up_is_handed_over_open(
    mcv: Speak, daemon: FakeDaemon, tmp_path: Path
) -> None:
    (tmp_path / "user-data").write_bytes(b"#cloud-config")
    (tmp_path / "key.pub").write_bytes(b"ssh-ed25519 AAAA")
    read: dict[str, bytes] = {}
    seed = {"node": "n1", "token": "t", "size": 10}

    def take(params: dict[str, Any]) -> dict[str, Any]:
        for word in ("user_data", "keys"):
            read[word] = Path(f"/proc/self/fd/{params[word]}").read_bytes()
        return seed

    daemon.answers["vm.take_seed"] = take

    heard = mcv(
        CREATE,
        *("--cloud-init", str(tmp_path / "user-data"), "--hostname", "www"),
        *("--ssh-key", str(tmp_path / "key.pub")),
    )

    assert (heard.code, heard.err) == (0, "")
    assert read == {"user_data": b"#cloud-config", "keys": b"ssh-ed25519 AAAA"}
    assert daemon.asked("vm.take_seed")[0]["hostname"] == "www"
    assert created(daemon) == [{**CREATED, "seed": seed}]


@pytest.mark.parametrize(
    "words",
    [
        f"{CREATE} --cpus two",
        f"{CREATE} --ssh-key /nonexistent/key.pub",
        f"{CREATE} --cloud-init /nonexistent/user-data",
        f"{CREATE} --image /nonexistent/image",
        "update web1 --cpus 1.5",
        "reboot web1 --wait --timeout soon",
        "shutdown web1 --wait --timeout soon",
        "shutdown web1 --wait --timeout nan",
        "migrate --node n2 --wait-for-shutdown --timeout -1 web1",
        "config show --generation first",
        "cluster add-node --node n2 --ip-address 192.0.2.2 --password-file /nonexistent/pw",
    ],
)
def test_a_value_that_makes_no_sense_is_refused(mcv: Speak, daemon: FakeDaemon, words: str) -> None:
    heard = mcv(words, "--json")

    assert (heard.code, heard.error["error"]) == (3, "refused")
    assert [name for name, asked in daemon.calls if not asked.get("dry_run")] == []


def test_every_call_fits_its_operation(mcv: Speak, daemon: FakeDaemon, tmp_path: Path) -> None:
    (tmp_path / "image").touch()
    lines = [words for words, _, _ in ASKED_FOR]
    lines += [CREATE, f"{CREATE} --image {tmp_path / 'image'}", "verify --all --owned"]
    for words in lines:
        mcv(words, typed="typed")

    for operation, params in daemon.calls:
        row = table.TABLE[operation]
        given = {key: value for key, value in params.items() if key != row.beside}
        if row.person:
            given["person"] = None
        if row.pid:
            given["pid"] = 1
        inspect.signature(row.function).bind("the host", **given)
        assert "operator" in row.who


# A single step each: the dry run looks for refusals before a question is put. What the check
# would mend is in its findings.
NO_DRY_RUN = {"locks.clear", "node.offline", "cluster.fix"}


def test_every_operation_with_a_plan_is_asked_for_it_by_its_command(
    mcv: Speak, daemon: FakeDaemon
) -> None:
    for words, _, _ in ASKED_FOR:
        mcv(words.replace("--dry-run", ""), "--dry-run", typed="typed")
    mcv(CREATE, "--dry-run")

    asked = {operation for operation, params in daemon.calls if params.get("dry_run")}
    has_plan = {name for name in table.TABLE if "dry_run" in parameters(name)}
    assert has_plan - asked == NO_DRY_RUN


# Asked while a job is followed, before a question that is put to a terminal alone, and by
# mcv-guests as the host goes down.
BESIDE_COMMANDS = {
    *("cluster.reboot_last", "ha.leave", "job.follow", "node.last_seen", "vm.prospects"),
}
# Their commands need a line to a guest, and are spoken in tests of their own.
WITH_LINES = {"console": {"vm.console", "line.ended"}, "vnc": {"vm.screen"}}


def test_every_operation_for_operators_has_a_command(
    mcv: Speak, daemon: FakeDaemon, tmp_path: Path
) -> None:
    (tmp_path / "image").touch()
    with_files = [f"{CREATE} --image {tmp_path / 'image'}", f"{CREATE} --hostname www"]
    for words in [*(words for words, _, _ in ASKED_FOR), *with_files]:
        mcv(words, typed="typed")

    for_operators = {name for name, row in table.TABLE.items() if "operator" in row.who}
    asked = {operation for operation, _ in daemon.calls}

    with_lines = set().union(*WITH_LINES.values())
    if missing := for_operators - asked - BESIDE_COMMANDS - with_lines:
        lines = [line_to_add("WORDS", name, parameters(name)) for name in sorted(missing)]
        pytest.fail(
            "No command in ASKED_FOR asks for these operations. Add to ASKED_FOR in "
            "tests/commands/test_calls.py, with the words of the command that asks for it:\n"
            + "\n".join(lines),
            pytrace=False,
        )
    assert for_operators >= BESIDE_COMMANDS, "it is no operation any more: take it out"
    assert asked & BESIDE_COMMANDS == set(), "a command asks for it: take it out of BESIDE_COMMANDS"


def parameters(operation: str) -> dict[str, Any]:
    """What the function of an operation takes, each with the default that it has."""
    row = table.TABLE[operation]
    taken = list(inspect.signature(row.function).parameters.values())[1:]
    return {
        parameter.name: ... if parameter.default is parameter.empty else parameter.default
        for parameter in taken
        if parameter.name not in {"pid", "person", "sender", "reader"}
    }


def line_to_add(words: str, operation: str, params: dict[str, Any]) -> str:
    pairs = ", ".join(
        f'"{name}": {"..." if value is ... else repr(value)}' for name, value in params.items()
    )
    return f'    ("{words}", "{operation}", {{{pairs}}}),'


def commands(group: click.Group = front, before: str = "") -> Iterator[str]:
    """Every command of mcv, in the words that are typed."""
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        inner = group.get_command(ctx, name)
        if isinstance(inner, click.Group):
            yield from commands(inner, f"{before}{name} ")
        else:
            yield f"{before}{name}"


def test_every_command_is_asked_for_here() -> None:
    spoken = [*(words for words, _, _ in ASKED_FOR), CREATE, *WITH_LINES]

    missing = [
        name
        for name in commands()
        if not any(f"{words} ".startswith(f"{name} ") for words in spoken)
    ]

    if missing:
        lines = [line_to_add(f"{name} …", "OPERATION", {}) for name in missing]
        pytest.fail(
            "No test speaks these commands. Add to ASKED_FOR in tests/commands/test_calls.py, with "
            "the operation and the parameters that each asks for:\n" + "\n".join(lines),
            pytrace=False,
        )


def test_the_line_to_add_names_operation_and_parameters() -> None:
    assert line_to_add("start web1", "vm.start", parameters("vm.start")) == (
        '    ("start web1", "vm.start", {"name": ..., "ignore_verify": False, '
        '"discard_saved": False, "without_overlay": False, "dry_run": False}),'
    )
