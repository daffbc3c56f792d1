"""What stands in for LVM and for the host's bridges: as tests/contract says of them."""

from mcv.drivers.bridge import Names
from mcv.drivers.lvm import Volume, rounded
from mcv.drivers.lvm_filter import Sight
from mcv.drivers.volume_groups import Group
from mcv.errors import CommandFailed, Refused

GIB = 1024**3
EXTENT = 4 * 1024**2
UUID = "251V8Q-x1pZ-oDST-GW4F-sedz-37i4-dtTDVo"


class FakeLvmFilter:
    """LVM's configuration: hides guests' disks unless a test says that it does not."""

    def __init__(self) -> None:
        self.told = Sight(file="/etc/lvm/lvm.conf")

    def sight(self) -> Sight:
        return self.told

    def add(self) -> None:
        self.told = Sight(file="/etc/lvm/lvm.conf", line="/etc/lvm/lvm.conf:3")


class FakeLvm:
    """One volume group, vg0."""

    def __init__(self, size: int = 4 * GIB) -> None:
        self.size = size
        self.made: dict[str, int] = {}
        self.thin: dict[str, str] = {}  # the pool of each thin volume
        self.pools: dict[str, Volume] = {}  # thin pools of vg0, by name
        self.uuid = UUID
        self.contents: dict[str, dict[int, bytes]] = {}  # by path, see tests/fakes/blocks.py
        self.dirty: dict[str, set[int]] = {}  # offsets of extents with the bytes of other volumes
        self.foreign: set[str] = set()
        self.broken: set[str] = set()
        self.inactive: set[str] = set()
        self.filter = FakeLvmFilter()
        self.problem = ("", "")  # why mcv does not touch the group, and the hint

    def groups(self) -> dict[str, Group]:
        thick = (size for name, size in self.made.items() if name not in self.thin)
        free = self.size - sum(thick)
        group = Group("vg0", self.uuid, self.size, free, EXTENT, ("/dev/sdb",), *self.problem)
        return {"vg0": group}

    def all(self) -> tuple[dict[str, Group], list[Volume]]:
        return self.groups(), self.volumes()

    def volumes(self, group: str | None = None) -> list[Volume]:
        if group not in (None, "vg0"):
            return []
        return [*self.pools.values(), *map(self._made, self.made)]

    def _made(self, name: str) -> Volume:
        pool = self.thin.get(name, "")
        ours, active = name not in self.foreign, name not in self.inactive
        size = self.made[name]
        return Volume("vg0", name, size, bool(pool), ours, pool, active=active)

    def make_pool(self, name: str, used: float = 0.0, metadata: float = 0.0) -> None:
        """What lvcreate --type thin-pool makes: not mcv's."""
        self.pools[name] = Volume("vg0", name, GIB, False, False, "", used, metadata, True)

    def volume(self, group: str, name: str) -> Volume | None:
        return next((one for one in self.volumes(group) if one.name == name), None)

    def untag(self, group: str, name: str) -> None:
        if self.volume(group, name) is not None:
            self.foreign.add(name)

    def create(self, group: str, name: str, size: int) -> None:
        if self.volume(group, name) == Volume("vg0", name, size, False, True):
            return
        whole = rounded(size, EXTENT)
        if group != "vg0":
            raise CommandFailed(f'`lvcreate` exited with 5: Volume group "{group}" not found')
        if name in self.made:
            raise CommandFailed(f'`lvcreate` exited with 5: "{name}" already exists')
        if "create" in self.broken or whole > self.groups()["vg0"].free:
            raise CommandFailed("`lvcreate` exited with 5: insufficient free space")
        self.made[name] = whole
        self.contents[f"/dev/vg0/{name}"] = {0: b"left by a VM that was deleted"}

    def extend(self, group: str, name: str, size: int) -> None:
        if self.volume(group, name) is None:
            raise CommandFailed(f"`lvextend` exited with 5: Failed to find {group}/{name}")
        whole = rounded(size, EXTENT)
        if "extend" in self.broken or whole - self.made[name] > self.groups()["vg0"].free:
            raise CommandFailed("`lvextend` exited with 5: insufficient free space")
        self.dirty[name] = self.dirty.get(name, set()) | set(range(self.made[name], whole, EXTENT))
        self.made[name] = max(whole, self.made[name])

    def tag(self, group: str, name: str) -> None:
        if self.volume(group, name) is None:
            raise CommandFailed(f"`lvchange` exited with 5: Failed to find {group}/{name}")
        self.foreign.discard(name)

    def remove(self, group: str, name: str) -> None:
        if self.volume(group, name) is None:
            return
        if "remove" in self.broken:
            raise CommandFailed(f"`lvremove` exited with 5: Logical volume {name} in use.")
        del self.made[name]
        self.thin.pop(name, None)
        self.dirty.pop(name, None)
        self.foreign.discard(name)

    def create_thin(self, group: str, pool: str, name: str, size: int) -> None:
        if pool not in self.pools:
            raise CommandFailed(f"`lvcreate` exited with 5: Thin pool {group}/{pool} not found")
        known = self.volume(group, name)
        if known is not None and known.ours and known.pool == pool and known.size >= size:
            return
        if name in self.made:
            raise CommandFailed(f'`lvcreate` exited with 5: "{name}" already exists')
        if "create" in self.broken:
            raise CommandFailed("`lvcreate` exited with 5: insufficient free space")
        self.made[name] = rounded(size, EXTENT)
        self.thin[name] = pool
        self.contents[f"/dev/vg0/{name}"] = {}

    def activate(self, group: str, name: str) -> None:
        if self.volume(group, name) is None:
            raise CommandFailed(f"`lvchange` exited with 5: Failed to find {group}/{name}")
        self.inactive.discard(name)

    def _require_device(self, path: str) -> None:
        if path not in {f"/dev/vg0/{name}" for name in self.made}:
            raise CommandFailed(f"`blkdiscard` exited with 1: cannot open {path}")

    def zero(self, path: str) -> None:
        self._require_device(path)
        self.contents[path] = {}

    def zero_part(self, path: str, offset: int, length: int) -> None:
        self._require_device(path)
        name = path.rpartition("/")[2]
        if "zero" in self.broken or offset > self.made[name]:
            raise CommandFailed(f"`blkdiscard` exited with 1: {path}: cannot write")
        # What DRBD keeps at the end of the last extent may stay.
        last = rounded(offset + length, EXTENT)
        self.dirty[name] = {
            start for start in self.dirty.get(name, ()) if not offset <= start < last
        }


class FakeBridges:
    """Bridges of a host.

    `tags` are the VLANs of those that mcvd made, `busy` those with guests, `torn` those whose
    ports went.
    """

    def __init__(self, names: tuple[str, ...] = ("br-lan",)) -> None:
        self.names = names
        self.mtus: dict[str, int] = {}
        self.tags: dict[str, tuple[str, int]] = {}
        self.busy: set[str] = set()
        self.torn: set[str] = set()
        self.no_vlans = ""  # why this host can have none

    def mtu(self, name: str) -> int:
        return self.mtus.get(name, 1500) if self.exists(name) else 0

    def why_not_tag(self, bridge: str, vlan: int, name: str) -> Refused | None:
        return Refused(self.no_vlans, "See: modprobe 8021q") if self.no_vlans else None

    def bring_up_tagged(self, bridge: str, vlan: int, name: str) -> None:
        if not self.exists(bridge):
            raise CommandFailed(f"`ip link add link {bridge}` exited with 1: Cannot find device")
        self.tags[name] = (bridge, vlan)
        self.torn.discard(name)

    def is_whole(self, name: str) -> bool:
        return name in self.tags and name not in self.torn

    def tagged(self) -> Names:
        return sorted(self.tags)

    def take_away_tagged(self, name: str) -> bool:
        if name in self.busy:
            return False
        self.tags.pop(name, None)
        return True

    def exists(self, name: str) -> bool:
        return name in self.names

    def list(self) -> Names:
        return sorted({*self.names, *self.tags})
