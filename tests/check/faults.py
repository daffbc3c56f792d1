"""All that can be wrong with a cluster of two and its VM web1: made over fake doors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from mcv.check import runner
from mcv.document.claim import Claim
from mcv.document.disks import Verification
from mcv.document.model import Cluster
from mcv.drivers.drbd_status import Generations
from mcv.drivers.lvm_filter import LINE, Sight
from mcv.system.answers import plain
from mcv.transaction.journal import Entry, EntryClaim
from tests.fakes.cluster import FakeCluster

Do = Callable[[FakeCluster], object]
RESOURCE = "mcv-web1-1"
FOREIGN = "/etc/drbd.d/theirs.res:3: Parse error: 'on' expected, but got 'no'"
LVM = "/etc/lvm/lvm.conf"
UUID = "6d637600-0000-4000-8000-000000000001"  # of no VM
GUEST = "<domain><name>web1</name><uuid>{uuid}</uuid><memory>65536</memory></domain>"
FILE = f"/etc/drbd.d/{RESOURCE}.res"
NEVER = ("note", "n1", RESOURCE, "never verified")


def look(cluster: FakeCluster, node: str = "n1") -> list[tuple[str, str, str, str]]:
    """What a check finds, but for the note that a new VM was never verified."""
    answer = plain(runner.check(cluster.hosts[node]))
    found = [tuple(one[key] for key in KEYS) for one in answer["findings"]]
    assert answer["ok"] == all(one[0] != "error" for one in found)
    return [one for one in found if NEVER[3] not in one[3]]


KEYS = ("severity", "node", "subject", "message")


def one(found: list[tuple[str, str, str, str]]) -> tuple[str, str, str, str]:
    assert len(found) == 1, found
    return found[0]


def state(cluster: FakeCluster, node: str) -> Path:
    return cluster.hosts[node].settings.drbd_directory


def replica(cluster: FakeCluster, node: str) -> Any:
    return cluster.world.replicas[RESOURCE][node]


def record(cluster: FakeCluster, change: Callable[[Cluster], Cluster]) -> None:
    """Change the document of both nodes behind everybody's back."""
    new = change(cluster.read())
    for agreement in cluster.agreements.values():
        agreement.store.begin(new)


def verification(**values: Any) -> Do:
    def do(cluster: FakeCluster) -> None:
        vm = cluster.read().vm("web1")
        marked = vm.with_disk(replace(vm.disks[0], verification=Verification(**values)))
        record(cluster, lambda document: document.with_vm(marked))

    return do


def claimed(cluster: FakeCluster) -> None:
    claim = Claim(operation="op1", node="n2", epoch=1, generation=1, why="delete web1", since="")
    document = cluster.read()
    held = document.with_vm(replace(document.vm("web1"), claim=claim))
    away = held.with_node(replace(document.node("n2"), status="offline"))
    record(cluster, lambda _: away)
    cluster.down.add("n2")


def offline(cluster: FakeCluster) -> None:
    document = cluster.read()
    record(cluster, lambda _: document.with_node(replace(document.node("n2"), status="offline")))
    cluster.down.add("n2")


def unfinished(cluster: FakeCluster) -> None:
    cluster.hosts["n2"].journal.write(
        Entry(
            operation="op1",
            title="migrate web1",
            who="ada",
            node="n2",
            claims=[EntryClaim("vm:web1")],
        )
    )


def split(cluster: FakeCluster) -> None:
    for node, uuid in (("n1", 0x10), ("n2", 0x20)):
        cluster.drbd[node].standalone.add(RESOURCE)
        cluster.drbd[node].generations[RESOURCE] = Generations(current=uuid, bitmap=0x8)


def parted(cluster: FakeCluster) -> None:
    cluster.drbd["n2"].standalone.add(RESOURCE)
    cluster.drbd["n2"].generations[RESOURCE] = Generations(current=0x20, bitmap=0x8)


def define_elsewhere(cluster: FakeCluster) -> None:
    cluster.domains["n2"].define(cluster.domains["n1"].defined["web1"])


def run_elsewhere(cluster: FakeCluster) -> None:
    define_elsewhere(cluster)
    cluster.domains["n2"].start_unasked("web1")


def of_nobody(cluster: FakeCluster) -> None:
    xml = cluster.domains["n1"].defined["web1"].replace(cluster.read().vm("web1").uuid, UUID)
    cluster.domains["n2"].define(xml.replace(">web1<", ">ghost<"))


def of_nobody_running(cluster: FakeCluster) -> None:
    of_nobody(cluster)
    cluster.domains["n2"].power_on("ghost")


def redefine(old: str, new: str) -> Do:
    def do(cluster: FakeCluster) -> None:
        xml = cluster.domains["n1"].defined["web1"]
        assert old in xml
        cluster.domains["n1"].define(xml.replace(old, new))

    return do


def another_uuid(cluster: FakeCluster) -> None:
    xml = cluster.domains["n1"].defined["web1"]
    cluster.domains["n1"].undefine("web1")
    cluster.domains["n1"].define(xml.replace(cluster.read().vm("web1").uuid, UUID))


def guest(node: str, same_uuid: bool = False) -> Do:
    """A domain of somebody else's with the name of the VM, that runs and starts by itself."""

    def do(cluster: FakeCluster) -> None:
        domains = cluster.domains[node]
        domains.defined.clear()
        vm = cluster.read().vm("web1")
        domains.defined["web1"] = GUEST.format(uuid=vm.uuid if same_uuid else UUID)
        domains.power_on("web1")
        domains.autostart.add("web1")

    return do


def renamed(cluster: FakeCluster) -> None:
    domains = cluster.domains["n1"]
    domains.defined["other"] = domains.defined.pop("web1").replace(">web1<", ">other<")


def edit(cluster: FakeCluster) -> None:
    path = state(cluster, "n2") / f"{RESOURCE}.res"
    path.write_text(path.read_text() + "# by hand\n")


def left_over(cluster: FakeCluster, node: str = "n2", name: str = "mcv-ghost-1") -> None:
    """A resource that is up and has no file any more."""
    drbd, path = cluster.drbd[node], state(cluster, node) / f"{name}.res"
    path.write_text("device /dev/drbd109 minor 109;")
    drbd.metadata.create(name)
    drbd.up(name)
    path.unlink()


def put(node: str, name: str, text: str = "") -> Do:
    return lambda cluster: (state(cluster, node) / name).write_text(text)


def no_secret(cluster: FakeCluster) -> None:
    (cluster.hosts["n2"].settings.pki / "drbd-secret").unlink()


def out_of_touch(cluster: FakeCluster) -> None:
    cluster.boot("n2")


# story, what is done, severity, node, subject, a word of the message, what is mended
STORIES: list[tuple[str, Do, str, str, str, str, str]] = [
    ("silent", lambda c: c.down.add("n2"), "error", "n2", "n2", "Unreachable", ""),
    ("out of contact", out_of_touch, "error", "n2", "n2", "not heard from everyone", ""),
    ("bridge", lambda c: setattr(c.bridges["n2"], "names", ()), "error", "n2", "lan", "br-lan", ""),
    (
        "volume too small",
        lambda c: c.lvm["n2"].made.update({RESOURCE: 32 << 20}),
        "error",
        "n2",
        f"vg0/{RESOURCE}",
        "too small",
        "",
    ),
    (
        "volume group made anew",
        lambda c: setattr(c.lvm["n2"], "problem", ("The volume group vg0 is another one.", "rm")),
        "error",
        "n2",
        f"vg0/{RESOURCE}",
        "The volume group vg0 on n2 holds disk 1 of web1. The volume group vg0 is another one.",
        "",
    ),
    (
        "LVM sees guests",
        lambda c: setattr(c.lvm["n2"].filter, "told", Sight(file=LVM, disks=True)),
        "warning",
        "n2",
        LVM,
        f"{LVM} lacks in devices {{ }}: {LINE}",
        "hide-guests",
    ),
    (
        "LVM sees guests, with a filter",
        lambda c: setattr(c.lvm["n2"].filter, "told", Sight(file=LVM, disks=True, line=LVM)),
        "warning",
        "n2",
        LVM,
        "keeps the disk Primary",
        "",
    ),
    (
        "LVM looks into volumes",
        lambda c: setattr(c.lvm["n2"].filter, "told", Sight(file=LVM, volumes=True)),
        "warning",
        "n2",
        "scan_lvs",
        "looks into logical volumes",
        "",
    ),
    (
        "a foreign resource file that drbdadm cannot read",
        lambda c: setattr(c.drbd["n2"], "unreadable", FOREIGN),
        "error",
        "n2",
        "/etc/drbd.d",
        f"drbdadm cannot read its configuration on n2: {FOREIGN}",
        "",
    ),
    (
        "volume missing",
        lambda c: c.lvm["n2"].made.clear(),
        "error",
        "n2",
        f"vg0/{RESOURCE}",
        "is missing",
        "",
    ),
    (
        "volume left over",
        lambda c: c.lvm["n2"].create("vg0", "mcv-ghost-1", 1),
        "warning",
        "n2",
        "vg0/mcv-ghost-1",
        "belongs to no VM",
        "remove-volume",
    ),
    (
        "not up",
        lambda c: c.drbd["n2"].down(RESOURCE),
        "error",
        "n2",
        RESOURCE,
        "not up",
        "up",
    ),
    ("resource left over", left_over, "warning", "n2", "mcv-ghost-1", "belongs to no VM", "down"),
    (
        "file left over",
        put("n1", "mcv-ghost-1.res"),
        "warning",
        "n1",
        "/etc/drbd.d/mcv-ghost-1.res",
        "belongs to no VM",
        "remove-file",
    ),
    ("file of somebody", put("n1", "own.res"), "warning", "n1", "/etc/drbd.d/own.res", "no VM", ""),
    (
        "file missing",
        lambda c: (state(c, "n2") / f"{RESOURCE}.res").unlink(),
        "error",
        "n2",
        FILE,
        "is missing",
        "file",
    ),
    ("file edited", edit, "error", "n2", FILE, "was edited", "file"),
    *(
        (disk, lambda c, disk=disk: setattr(replica(c, "n2"), "disk", disk), "error", "n2", *rest)
        for disk in ("Outdated", "Diskless", "Failed", "Inconsistent")
        for rest in [(RESOURCE, f"is {disk}", "")]
    ),
    ("parted", parted, "error", "n2", RESOURCE, "StandAlone", ""),
    ("split brain", split, "error", "n1", RESOURCE, "split brain", ""),
    (
        "domain missing",
        lambda c: c.domains["n1"].defined.clear(),
        "error",
        "n1",
        "web1",
        "not defined",
        "define",
    ),
    ("elsewhere", define_elsewhere, "error", "n2", "web1", "is defined on n2", "undefine"),
    ("running elsewhere", run_elsewhere, "error", "n2", "web1", "is running on n2", ""),
    ("memory", redefine("67108864", "33554432"), "error", "n1", "web1", "differs: memory", ""),
    ("bridge of a nic", redefine("br-lan", "br-dmz"), "error", "n1", "web1", "differs: nics", ""),
    ("disks", redefine("/dev/drbd100", "/dev/sda"), "error", "n1", "web1", "differs: disks", ""),
    ("uuid", another_uuid, "error", "n1", "web1", "UUID", ""),
    (
        "autostart",
        lambda c: c.domains["n1"].autostart.add("web1"),
        "warning",
        "n1",
        "web1",
        "when the host boots",
        "autostart",
    ),
    ("guest in the way", guest("n2"), "warning", "n2", "web1", "not mcv's is running on n2", ""),
    ("guest at home", guest("n1"), "error", "n1", "web1", "web1 cannot start there", ""),
    ("guest with the UUID", guest("n2", same_uuid=True), "warning", "n2", "web1", "not mcv's", ""),
    ("renamed", renamed, "error", "n1", "web1", "is called other", ""),
    ("domain of nobody", of_nobody, "warning", "n2", "ghost", "is stopped", "undefine"),
    ("running for nobody", of_nobody_running, "error", "n2", "ghost", "is running", ""),
    (
        "tool missing",
        lambda c: c.drbd["n2"].lacks.update({"drbdadm": "drbd-utils"}),
        "error",
        "n2",
        "drbdadm",
        "n2 does not have the tool drbdadm",
        "",
    ),
    ("secret", no_secret, "error", "n2", "DRBD secret", "does not have", ""),
    ("journal", unfinished, "warning", "n2", "web1", "migrate web1 is unfinished", ""),
    ("offline", offline, "note", "n2", "n2", "declared offline", ""),
    (
        "verification failed",
        verification(result="out-of-sync", blocked=True, out_of_sync=4096),
        "error",
        "n1",
        RESOURCE,
        "4096 bytes differ",
        "",
    ),
    (
        "blocked still",
        verification(result="interrupted", blocked=True),
        "error",
        "n1",
        RESOURCE,
        "are blocked",
        "",
    ),
    (
        "interrupted",
        verification(result="running"),
        "warning",
        "n1",
        RESOURCE,
        "was interrupted",
        "",
    ),
]
