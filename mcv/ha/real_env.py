"""env.py in a node: what mcv-lease may do, done at once."""

import time
from pathlib import Path

from mcv.ha.env import Answer, LeaseFile, Leftovers, Txn, Unknown
from mcv.ha.kept_watchdog import KeptWatchdog
from mcv.ha.leftovers import Remains
from mcv.ha.sends import Say, Sends
from mcv.system import lease, reset
from mcv.system.start_gate import StartGate


class NodeEnv:
    """The host that mcv-lease runs on; see LeaseEnv for each verb."""

    def __init__(
        self,
        node: str,
        run: Path,
        sends: Sends,
        watchdog: KeptWatchdog,
        remains: Remains,
        say: Say,
    ) -> None:
        self._node = node
        self._boot = lease.boot_id()
        self._run = run
        self._sends = sends
        self._watchdog = watchdog
        self._remains = remains
        self._say = say
        self._gate = StartGate(run)
        self._unwritten = ""  # why the lease's file could not be
        self._why = ""  # the newest thing that was said: the reason of a reset

    @property
    def node(self) -> str:
        return self._node

    @property
    def boot(self) -> str:
        return self._boot

    async def now(self) -> float:
        return lease.now()

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError("mcv-lease sleeps between two steps alone")

    async def say(self, text: str) -> None:
        self._why = text
        self._say(text)

    async def txn(self, txn: Txn) -> Answer:
        return self._sends.commit(txn)

    async def send(self, txn: Txn) -> int:
        return self._sends.send(txn)

    async def outcome(self, number: int) -> Answer | Unknown | None:
        return self._sends.outcome(number)

    # The file

    async def lease_file(self) -> LeaseFile | None:
        return lease.read(self._run)

    async def promised(self) -> float | None:
        file = lease.read(self._run, lease.PROMISES)
        return file.until if file is not None and file.boot == self._boot else None

    async def publish(self, file: LeaseFile) -> bool:
        """Where that fails the file says that the lease ends earlier, which is safe."""
        try:
            lease.write(file, self._run)
        except OSError as error:
            self._unwritten = self._said_once(self._unwritten, error)
            return False
        self._unwritten = ""
        return True

    def _said_once(self, before: str, error: OSError) -> str:
        if (now := f"{self._run / lease.FILE} cannot be written: {error}") != before:
            self._say(now)
        return now

    async def withdraw(self) -> None:
        lease.remove(self._run)

    # The watchdog

    async def open_watchdog(self, timeout: float, *, or_less: bool = False) -> float:
        return self._watchdog.open(round(timeout), or_less=or_less)

    async def set_watchdog(self, timeout: float) -> None:
        self._watchdog.watchdog.set_timeout(round(timeout))

    async def feed(self, until: float | None) -> bool:
        if until is not None and lease.now() >= until:
            return False
        self._watchdog.feed()
        return True

    async def close_watchdog(self) -> None:
        if not self._watchdog.end():
            self._say("the watchdog's driver has nowayout: it is fed on until the host ends")

    # What runs

    async def leftovers(self) -> Leftovers:
        left = self._remains.look()
        return Leftovers(left.running, left.stuck, left.primary, self._gate.marks())

    async def kill(self) -> None:
        self._say("what is left of mcv's is killed, and its resources become Secondary")
        self._remains.kill()

    async def close_gate(self) -> bool:
        try:
            return self._gate.close()
        except OSError as error:
            self._say(f"the start gate cannot be held: {error}")
            return False

    async def open_gate(self) -> None:
        self._gate.open()

    async def reset(self) -> None:
        reset.reset(self._why or "the lease has ended")
        while True:  # the watchdog resets the host, unfed
            time.sleep(60)
