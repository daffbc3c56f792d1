"""A member that lies: it calls a peer with its own key, and says what no member may say.

Run on a node as `python -I liar.py ME PEER VM`, VM being the peer's; it prints what each lie came
to, one JSON object. The certificate is a member's, so the wire lets all of it through.
"""

import json
import secrets
import sys
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from mcv import settings
from mcv.document import changes
from mcv.document.generation import ChangeMade
from mcv.document.model import Cluster, decode, encode
from mcv.document.rights import Permissions
from mcv.errors import McvError
from mcv.rpc import names
from mcv.rpc.peers import Address, Peers
from mcv.rpc.pki import Keys, load

Params = dict[str, Any]


class Liar:
    """One member, and the peer that it lies to."""

    def __init__(self, me: str, peer: str, vm: str) -> None:
        conf = settings.load()
        identity = load(me, conf.pki)
        self.me, self.peer, self.vm = me, peer, vm
        self.base = decode(Path(conf.state / "config.json").read_text())
        self._sign = Keys(identity).sign
        self._peers = Peers(identity, lambda node: self._address(conf, node))
        self.said: dict[str, str] = {}

    def _address(self, conf: settings.Settings, node: str) -> Address:
        member = self.base.nodes[node]
        return Address(member.ip_address, conf.port, member.certificate)

    def made(self, name: str, params: Params, author: str = "", base: Cluster | None = None) -> str:
        """A document with one change, signed with this node's key."""
        made = ChangeMade(
            id=f"{secrets.token_hex(4)}.1",
            who="mallory",
            when="2026-01-01T00:00:00Z",
            why="a lie",
            node=author or self.me,
        )
        return encode(changes.apply(base or self.base, name, params, made, self._sign))

    def call(self, what: str, operation: str, context: Params | None = None, **params: Any) -> None:
        """Call the peer, and note the answer or the error."""
        epoch = [self.base.epoch.number, self.base.epoch.id]
        known = {"epoch": epoch, "address": self.base.nodes[self.me].ip_address}
        try:
            self._peers.call(self.peer, operation, params, {**known, **(context or {})}, 20)
            self.said[what] = "served"
        except McvError as error:
            self.said[what] = f"{type(error).__name__}: {error.message}"

    def documents(self) -> dict[str, str]:
        """Documents that no member may make of the committed one."""
        claim = {"name": self.vm, "why": "mine"}
        disk = {
            "storage": "drbd",
            "id": 1,
            "size": 1,
            "volume": "x",
            "volume_groups": {self.me: "vg0", self.peer: "vg0"},
            "resource": "../../tmp/evil",
            "minor": 150,
            "port": 7950,
        }
        vm: Params = {"name": "evil", "uuid": "u", "memory": 1, "cpus": 1, "node": self.me}
        vm["nodes"] = [self.me, self.peer]
        second = replace(
            decode(self.made("barrier", {})), permissions=Permissions(superusers=("mallory",))
        )
        epoch = {"names": [self.peer], "survivor": self.me, "epoch": secrets.token_hex(8)}
        return {
            "a claim of the peer's VM": self.made("vm.claim", claim),
            "a claim in the peer's name": self.made("vm.claim", claim, author=self.peer),
            "another owner": self.made("vm.lock", {"name": self.vm, "locked": True}),
            "a second change": encode(second),
            "an unknown change": encode(
                replace(second, change=replace(second.change, name="vm.steal"))
            ),
            "a path for a resource": self._with_path(vm, disk),
            "a name with a newline": self._renamed("evil\n", vm),
            "an epoch": self.made("node.dead", epoch),
            "schema 1": encode(replace(second, schema=1)),
        }

    def _with_path(self, vm: Params, disk: Params) -> str:
        whole = self.made(
            "vm.add", {"vm": {**vm, "disks": [{**disk, "resource": "r"}]}, "why": "x"}
        )
        return whole.replace('"resource":"r"', f'"resource":"{disk["resource"]}"')

    def _renamed(self, name: str, vm: Params) -> str:
        whole = self.made("vm.add", {"vm": vm, "why": ""})
        return whole.replace('"evil"', json.dumps(name))

    def lie(self) -> None:
        for what, text in self.documents().items():
            attempt = secrets.token_hex(8)
            self.call(f"propose {what}", "config.propose", document=text, attempt=attempt)
            self.call(f"accept {what}", "config.accept", document=text)
            self.call(f"install {what}", "config.install", document=text, between=[])
            if (forged := _read(text)) is not None:
                later = self.made("barrier", {}, base=forged)
                self.call(f"bring {what}", "config.install", document=later, between=[text])
        self.call("commit", "config.commit", hash="0" * 64)
        entry = {"operation": "../../../../opt/evil", "title": "", "who": "", "node": self.me}
        self.call("journal.keep", "journal.keep", entry=json.dumps({"schema": 2, **entry}))
        for subject in ("vm:../../tmp/pwn", "/tmp/pwn", f"vm:{self.vm}", f"vm:{self.vm}\n"):
            escort = {
                "operation": "job1",
                "serial": 1,
                "claims": [{"subject": subject, "number": [1, 1]}],
            }
            self.call(f"a step for {subject!r}", "vm.undefine", {"escort": escort}, name=self.vm)
        self.call("a step for no claim", "vm.undefine", name=self.vm)


def _read(text: str) -> Cluster | None:
    try:
        return decode(text)
    except McvError:
        return None


if __name__ == "__main__":
    names.check = lambda params: None  # the liar's own side looks at nothing
    liar = Liar(*sys.argv[1:4])
    liar.lie()
    print(json.dumps(liar.said))
