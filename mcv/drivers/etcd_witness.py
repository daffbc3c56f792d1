"""The machine of a witness, over SSH: nothing but Debian's etcd is needed there, and a shell.

What lies there is what lies on a member, see etcd_unit, and the key besides, which the machine
has from this node. `of` says which cluster's witness it is, `masked` what became of Debian's unit.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from mcv.drivers.etcd_unit import PROGRAM, UNIT
from mcv.errors import NotUnderstood
from mcv.etcd.config import ELECTION, HEARTBEAT, Configuration

DIRECTORY = Path("/var/lib/mcv/etcd")
UNITS = Path("/etc/systemd/system")
DEBIANS = "etcd.service"

START = 30.0  # s in which etcd has to have made its data directory there, or to have ended

# Each script is given the directory, that of units, and etcd's path. What a script prints is one
# line a fact, after a login shell's own words, which begin with no such name.

_LOOK = """
directory=$1 units=$2 program=$3
say() { echo "witness.$1=$2"; }
[ -d /run/systemd/system ] && say systemd yes
[ -x "$program" ] && say version "$("$program" --version | sed -n 's/^etcd Version: //p')"
say mcvd "$(systemctl is-active mcvd.service)"
say debians "$(systemctl is-active etcd.service)"
say addresses "$(hostname -I)"
[ -e "$directory/of" ] && say of "$(cat "$directory/of")"
[ -e "$directory/etcd.env" ] && say set_up yes
[ -e "$directory/member" ] && [ ! -d "$directory/data/member" ] && say lost yes
exit 0
"""

_WRITE = """
set -e
umask 077
mkdir -p "$(dirname "$4")"
cat > "$4.draft"
chmod "$5" "$4.draft"
sync "$4.draft"
mv "$4.draft" "$4"
sync "$(dirname "$4")"
"""

# The mark is written as soon as there are data: from then on they may not be lost unseen.
_START = f"""
set -e
directory=$1
if [ "$(systemctl is-enabled {DEBIANS} 2>/dev/null)" != masked ]; then
    systemctl is-active {DEBIANS} > "$directory/masked" || :
    systemctl mask --now {DEBIANS}
fi
systemctl daemon-reload
systemctl enable {UNIT}
systemctl reset-failed {UNIT} 2>/dev/null || :
systemctl restart {UNIT}
tries={int(START * 5)}
until [ -d "$directory/data/member" ]; do
    tries=$((tries - 1))
    if [ "$tries" = 0 ]; then
        systemctl status --no-pager --lines=5 {UNIT} >&2 || :
        exit 1
    fi
    sleep 0.2
done
echo "etcd has run here as a member" > "$directory/member"
sync "$directory/member" "$directory"
"""

_FOLLOW = f"""
set -e
directory=$1
sed -e "s/^ETCD_HEARTBEAT_INTERVAL=.*/ETCD_HEARTBEAT_INTERVAL=$4/" \\
    -e "s/^ETCD_ELECTION_TIMEOUT=.*/ETCD_ELECTION_TIMEOUT=$5/" \\
    "$directory/etcd.env" > "$directory/etcd.env.draft"
sync "$directory/etcd.env.draft"
mv "$directory/etcd.env.draft" "$directory/etcd.env"
systemctl reset-failed {UNIT} 2>/dev/null || :
systemctl restart {UNIT}
"""

# What it starts by goes first: from then on nothing starts it.
_DISCARD = f"""
set -e
directory=$1 units=$2
rm -f "$directory/etcd.env"
systemctl disable --now {UNIT} 2>/dev/null || :
rm -rf "$directory/data"
if [ -e "$directory/masked" ]; then
    systemctl unmask {DEBIANS}
    if [ "$(cat "$directory/masked")" = active ]; then systemctl start {DEBIANS} || :; fi
fi
[ -e "$units/mcvd.service" ] || rm -f "$units/{UNIT}"
systemctl daemon-reload
rm -rf "$directory"
"""


class Session(Protocol):
    """A session on another host, as root; see mcv.system.ssh.Remote."""

    def run(self, *command: str, stdin: str = "", timeout: float = 60, called: str = "") -> str:
        """What a command printed there; errors name it as `called`. Raises CommandFailed."""


class WitnessFacts(Struct, frozen=True, kw_only=True):
    """What a machine tells of itself; `of` is the cluster that it is a witness of, or was.

    `mcvd` and `debians` are the states of those units.
    """

    systemd: bool = False
    version: str = ""
    mcvd: str = ""
    debians: str = ""
    addresses: tuple[str, ...] = ()
    of: str = ""
    is_set_up: bool = False
    has_lost_data: bool = False


class WitnessMachine:
    """What is done on the machine of a witness; every method raises CommandFailed."""

    def __init__(
        self,
        session: Session,
        directory: Path = DIRECTORY,
        units: Path = UNITS,
        program: Path = PROGRAM,
    ) -> None:
        self.directory = directory
        self._session = session
        self._units = units
        self._program = program

    @property
    def key(self) -> Path:
        """Where its key lies."""
        return self.directory / "key.pem"

    def look(self) -> WitnessFacts:
        """What has to be known before anything is changed there."""
        found = _facts(self._shell("look", _LOOK))
        return WitnessFacts(
            systemd="systemd" in found,
            version=found.get("version", ""),
            mcvd=found.get("mcvd", ""),
            debians=found.get("debians", ""),
            addresses=tuple(found.get("addresses", "").split()),
            of=found.get("of", ""),
            is_set_up="set_up" in found,
            has_lost_data="lost" in found,
        )

    def set_up(
        self,
        configuration: Configuration,
        files: Mapping[str, str],
        unit: str,
        of: str,
    ) -> None:
        """Write what etcd starts by, and start it; what an earlier attempt left goes first.

        `files` are key.pem, certificate.pem and bundle.pem. Debian's own unit is stopped and
        masked. Returns when etcd has its data, and the mark that it has.
        """
        self.discard()
        self._write(self.directory / "of", of)
        for name, text in sorted(files.items()):
            self._write(self.directory / name, text)
        self._write(self._units / UNIT, unit, mode="644")
        self._write(self.directory / "etcd.env", configuration.text())
        self._shell(f"start {UNIT}", _START, timeout=START + 60)

    def bundle(self) -> str:
        """The certificates that etcd there trusts from its next start on."""
        printed = self._shell("look at the certificates", 'cat "$1/bundle.pem"')
        return printed[max(printed.find("-----BEGIN"), 0) :].strip()

    def follow(self, bundle: str, pace: int) -> None:
        """Have etcd trust other certificates, at another pace: it reads both at its start alone."""
        self._write(self.directory / "bundle.pem", bundle)
        times = (str(HEARTBEAT * pace), str(ELECTION * pace))
        self._shell(f"restart {UNIT}", _FOLLOW, *times)

    def discard(self) -> None:
        """Stop etcd there and delete all of it; Debian's own unit is as it was. Harmless twice."""
        self._shell(f"discard {UNIT}", _DISCARD)

    def _write(self, path: Path, text: str, mode: str = "600") -> None:
        self._shell(f"write {path}", _WRITE, str(path), mode, stdin=text)

    def _shell(
        self, called: str, script: str, *more: str, stdin: str = "", timeout: float = 60
    ) -> str:
        places = map(str, (self.directory, self._units, self._program))
        command = ("sh", "-c", script.strip(), "witness", *places, *more)
        return self._session.run(*command, stdin=stdin, timeout=timeout, called=called)


def _facts(printed: str) -> dict[str, str]:
    found = {}
    for line in printed.splitlines():
        name, is_fact, value = line.partition("=")
        if is_fact and name.startswith("witness."):
            found[name.removeprefix("witness.")] = value.strip()
    if "addresses" not in found:
        raise NotUnderstood(f"The machine does not tell what it is: {printed.strip()[-200:]!r}.")
    return found
