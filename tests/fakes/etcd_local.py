"""A node's etcd that is only noted: what was set up, what runs, who votes, what was deleted."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mcv.document.etcd_voters import Terms, Voter
from mcv.drivers.etcd_local import VoterShown
from mcv.errors import CallLost, PeerUnreachable, Refused
from mcv.etcd.config import State
from mcv.system import files


@dataclass
class FakeMember:
    address: str
    votes: bool
    has_started: bool = False


@dataclass
class FakeVoting:
    """The members of the cluster's etcd, as all of them know them."""

    members: dict[str, FakeMember] = field(default_factory=dict)
    units: dict[str, "FakeUnit"] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)  # hosts
    leads: str = ""
    id: str = ""  # of the cluster's etcd; another one begins without members

    def begin(self, id: str) -> None:
        if self.id != id:
            self.members.clear()
            self.id = id

    def serving(self) -> list[str]:
        return [
            name
            for name, member in sorted(self.members.items())
            if member.votes and name not in self.down and self.is_up(name)
        ]

    def is_up(self, name: str) -> bool:
        """Whether etcd there serves; that of a witness, which is no node, does."""
        return name not in self.units or self.units[name].serves

    @property
    def leader(self) -> str:
        serving = self.serving()
        return self.leads if self.leads in serving else (serving or [""])[0]

    @property
    def has_quorum(self) -> bool:
        voters = [member for member in self.members.values() if member.votes]
        return 2 * len(self.serving()) > len(voters)

    def trusts(self, certificate: str) -> bool:
        """Whether a client with this certificate is served by anybody."""
        return any(certificate.strip() in unit.trusted for unit in self._serving_units())

    def trusted_by_all(self, certificate: str) -> bool:
        return all(certificate.strip() in unit.trusted for unit in self._serving_units())

    def _serving_units(self) -> list["FakeUnit"]:
        return [self.units[name] for name in self.serving() if name in self.units]


class FakeUnit:
    """What is on the node's disk outlives its daemon: files stand for all of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.is_installed = True
        self.has_lost_data = False
        self.text = "[Unit]\n"

    @property
    def config(self) -> Path:
        return self.directory / "etcd.env"

    @property
    def started_by(self) -> Path:
        return self.directory / "started-by"

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def runs(self) -> Path:
        return self.directory / "runs"

    @property
    def is_set_up(self) -> bool:
        return self.config.exists()

    @property
    def has_data(self) -> bool:
        return self.data.exists()

    @property
    def is_there(self) -> bool:
        return self.config.exists() or self.runs.exists() or self.has_data

    @property
    def serves(self) -> bool:
        return self.runs.exists() and self.has_data

    @property
    def trusted(self) -> list[str]:
        return (files.read_or_none(self.started_by) or "").splitlines()

    def is_running(self) -> bool:
        return self.runs.exists()

    def start(self) -> None:
        assert self.is_set_up
        was_running = self.is_running()
        files.write_atomically(self.data, "")
        files.write_atomically(self.runs, "")
        if not was_running:
            self.note_start()

    def restart(self) -> None:
        self.note_start()

    def note_start(self) -> None:
        files.write_atomically(self.started_by, files.read_or_none(self.config) or "")

    def discard(self) -> None:
        for path in (self.config, self.started_by, self.runs, self.data):
            files.remove(path)


def _told(terms: Terms, own: Voter) -> str:
    """What this voter runs by, as text: the certificates it trusts a line each."""
    return f"{own.address} {own.certificate.strip()} pace {terms.pace}\n{terms.bundle}"


class FakeLocalEtcd:
    def __init__(
        self,
        name: str,
        directory: Path,
        voting: FakeVoting,
        reach: Callable[[str], None],
        reached: Callable[[str], None],
    ) -> None:
        self.name = name
        self.unit = FakeUnit(directory)
        self.never_starts = False
        self.voting = voting
        self._reach, self._reached = reach, reached
        voting.units[name] = self.unit

    def certificate(self, address: str) -> str:
        return f"etcd certificate of {self.name}\n"

    def certificate_anew(self, address: str) -> str:
        return f"etcd certificate at {address} of {self.name}\n"

    def set_up(self, name: str, terms: Terms, state: State) -> None:
        own = next(voter for voter in terms.voters if voter.name == name)
        assert {voter.name for voter in terms.voters} <= {
            line.split()[-1] for line in terms.bundle.splitlines()
        }
        files.write_atomically(self.unit.config, _told(terms, own))
        if state == "new":
            self.voting.begin(terms.cluster)
            self.voting.members[name] = FakeMember(own.address, votes=True, has_started=True)

    def await_voters(self, name: str, voters: Sequence[Voter], seconds: float) -> None:
        if self.never_starts or not self.unit.is_running():
            raise PeerUnreachable("etcd of n3 has not started.")

    def runs_by(self, name: str, terms: Terms) -> bool:
        own = next(voter for voter in terms.voters if voter.name == name)
        return (files.read_or_none(self.unit.started_by) or "") == _told(terms, own)

    def has_spare(self, name: str, voters: Sequence[Voter]) -> bool:
        return 2 * len(set(self.voting.serving()) - {name}) > len(voters)

    def follow(self, name: str, terms: Terms, patience: float = 0) -> bool:
        if self.runs_by(name, terms):
            return False
        own = next(voter for voter in terms.voters if voter.name == name)
        with self._change("update"):
            self.voting.members[name].address = own.address
        self.hand_over(terms.voters, name)
        self.set_up(name, terms, "existing")
        assert self.unit.has_data
        self.unit.restart()
        if not self.voting.trusted_by_all(own.certificate):
            raise PeerUnreachable(f"etcd on {name} is not trusted by the others.")
        if not self.voting.has_quorum:
            raise PeerUnreachable(f"etcd on {name} does not serve.")
        return True

    def begin(self, name: str, terms: Terms, is_fresh: bool) -> None:
        if is_fresh:
            self.unit.discard()
        own = next(voter for voter in terms.voters if voter.name == name)
        self.set_up(name, terms, "existing")
        if self.never_starts or not self.voting.trusted_by_all(own.certificate):
            raise PeerUnreachable(f"etcd on {name} does not start.")
        if name not in self.voting.members:
            raise PeerUnreachable(f"etcd has no member {name}.")
        self.unit.start()
        self.voting.members[name].has_started = True

    def add(self, voters: Sequence[Voter], new: Voter, has_data: bool) -> bool:
        found = self.voting.members.get(new.name)
        if found is not None and found.has_started and not has_data:
            self.remove(voters, new)
            found = None
        if found is None:
            self._require_all(voters)
            with self._change("add"):
                self.voting.members[new.name] = FakeMember(new.address, votes=False)
        return not has_data or found is None

    def promote(self, voters: Sequence[Voter], new: Voter) -> None:
        found = self.voting.members.get(new.name)
        if found is None or not self.voting.is_up(new.name) or new.name in self.voting.down:
            raise Refused(f"etcd: {new.name} is not in step.")
        with self._change("promote"):
            found.votes = True

    def remove(self, voters: Sequence[Voter], leaving: Voter) -> None:
        with self._change("remove"):
            self.voting.members.pop(leaving.name, None)

    def leader(self, voters: Sequence[Voter]) -> str:
        return self.voting.leader

    def hand_over(self, voters: Sequence[Voter], name: str) -> None:
        others = [each for each in self.voting.serving() if each != name]
        if self.voting.leader == name and others:
            self.voting.leads = others[0]

    def snapshot(self, name: str, voters: Sequence[Voter], path: Path) -> None:
        files.write_atomically(path, "snapshot")

    def _require_all(self, voters: Sequence[Voter]) -> None:
        silent = {voter.name for voter in voters} - set(self.voting.serving())
        if silent:
            raise PeerUnreachable(f"etcd: unhealthy cluster, without {' '.join(sorted(silent))}.")

    @contextlib.contextmanager
    def _change(self, what: str) -> Iterator[None]:
        """A change of members, which its node may not live to see."""
        self._reach(what)
        if not self.voting.has_quorum:
            raise CallLost("etcd does not answer.")
        yield
        self._reached(what)

    def keep_room(self, name: str, voters: Sequence[Voter]) -> bool:
        return False

    def shown(self, voters: Sequence[Voter]) -> list[VoterShown]:
        serving, leader = self.voting.serving(), self.voting.leader
        return [
            VoterShown(name=voter.name, state="unreachable")
            if voter.name not in serving and voter.name in self.voting.units
            else VoterShown(
                name=voter.name, state="leader" if voter.name == leader else "voter", fsync_ms=1.0
            )
            for voter in voters
        ]
