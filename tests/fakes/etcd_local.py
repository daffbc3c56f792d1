"""A node's etcd that is only noted: what was set up, what runs, what was deleted."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mcv.document.etcd_voters import Voter
from mcv.drivers.etcd_local import VoterShown
from mcv.errors import PeerUnreachable
from mcv.system import files


class FakeUnit:
    """What is on the node's disk outlives its daemon: a file stands for all of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.is_installed = True
        self.has_lost_data = False
        self.text = "[Unit]\n"

    @property
    def _config(self) -> Path:
        return self.directory / "etcd.env"

    @property
    def _runs(self) -> Path:
        return self.directory / "runs"

    @property
    def is_set_up(self) -> bool:
        return self._config.exists()

    @property
    def is_there(self) -> bool:
        return self._config.exists() or self._runs.exists()

    def is_running(self) -> bool:
        return self._runs.exists()

    def start(self) -> None:
        assert self.is_set_up
        files.write_atomically(self._runs, "")

    def discard(self) -> None:
        files.remove(self._config)
        files.remove(self._runs)


class FakeLocalEtcd:
    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.unit = FakeUnit(directory)
        self.never_starts = False

    def certificate(self, address: str) -> str:
        return f"etcd certificate of {self.name}\n"

    def set_up(
        self, name: str, cluster: str, members: Mapping[str, str], bundle: str, pace: int
    ) -> None:
        assert set(members) <= {line.split()[-1] for line in bundle.splitlines()}
        files.write_atomically(self.unit._config, cluster)

    def await_voters(self, name: str, voters: Sequence[Voter], seconds: float) -> None:
        if self.never_starts or not self.unit.is_running():
            raise PeerUnreachable("etcd of n3 has not started.")

    def keep_room(self, name: str, voters: Sequence[Voter]) -> bool:
        return False

    def shown(self, voters: Sequence[Voter]) -> list[VoterShown]:
        return [
            VoterShown(name=voter.name, state="voter" if number else "leader", fsync_ms=1.0)
            for number, voter in enumerate(voters)
        ]
