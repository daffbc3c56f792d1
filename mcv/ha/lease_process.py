"""mcv-lease: renews this node's lease in etcd, and feeds the watchdog while it is valid.

One small process beside mcvd, which may hang, die, or be upgraded meanwhile. It goes on as long
as /run/mcv/armed is there, and looks at it once in a second.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from mcv import printable
from mcv.errors import McvError
from mcv.ha import armed as armed_file
from mcv.ha.armed import Armed
from mcv.ha.at_once import at_once
from mcv.ha.kept_watchdog import KeptWatchdog
from mcv.ha.lease import Lease, OnLost
from mcv.ha.leftovers import Remains
from mcv.ha.real_env import NodeEnv
from mcv.ha.sends import Say, Sends
from mcv.system import foremost, systemd
from mcv.system.lease import RUN

STEP = 0.5  # s between two steps
LOOK = 1.0  # s between two looks at /run/mcv/armed
GRACE = 20.0  # s that tasks which are left have, once the host goes down, before they are killed
PAUSE = 2.0  # s before systemd starts it again after an error

Wrap = Callable[[Armed | None], KeptWatchdog]


class LeaseProcess:
    """One process of an armed node; `go` returns when the node is disarmed or goes down."""

    def __init__(
        self, armed: Armed, watchdog: KeptWatchdog, remains: Remains, run: Path, say: Say
    ) -> None:
        self._armed = armed
        self._watchdog = watchdog
        self._run = run
        self._say = say
        self._sends = Sends(armed, say, foremost.thread)
        self._env = NodeEnv(armed.node, run, self._sends, watchdog, remains, say)
        self._lease = Lease(
            self._env,
            armed.timing,
            proves=armed.proves,
            on_lost=OnLost(armed.on_lost),
        )
        self._looked = 0.0
        self._version: armed_file.Version | None = None  # of the file that was read
        self._trouble = ""
        self._told = threading.Event()  # SIGTERM has come
        self._kill_after: float | None = None  # once the host goes down
        self._tried = 0.0  # to leave

    def tell(self, number: int = 0, frame: FrameType | None = None) -> None:
        """SIGTERM: go on until nothing runs and nothing can begin, then give the lease back."""
        if not self._told.is_set():
            self._told.set()
            threading.Thread(target=self._ask_systemd, daemon=True).start()

    def go(self) -> None:
        """Step until the end. Raises McvError or OSError where the watchdog cannot be fed."""
        while True:
            if self._is_disarmed():
                at_once(self._lease.give_back())
                self._say("disarmed: the lease is given back")
                self._feed_on()
                return
            at_once(self._lease.step())
            if self._told.is_set() and self._has_left():
                self._say("nothing runs here: the lease is given back")
                return
            time.sleep(STEP)

    def _feed_on(self) -> None:
        """Feed a watchdog that cannot be stopped, until the node is armed anew or goes down."""
        at_once(self._env.open_gate())
        while self._watchdog.is_open and not self._told.is_set():
            self._watchdog.feed()
            if (self._run / armed_file.FILE).exists():
                return
            time.sleep(LOOK)

    def _has_left(self) -> bool:
        """Try it once a second; where the host goes down, what is left is ended for it."""
        now = time.monotonic()
        if now < self._tried + LOOK:
            return False
        self._tried = now
        if at_once(self._lease.leave()):
            return True
        if self._kill_after is not None:
            left = at_once(self._env.leftovers())
            has_tasks = bool(left.running or left.stuck)
            if left and (not has_tasks or now >= self._kill_after):
                at_once(self._env.kill())
        return False

    def _ask_systemd(self) -> None:
        """What outlives its unit, and mcvd's word, is killed; but not for a mere SIGTERM."""
        try:
            is_stopping = systemd.host_is_stopping()
        except McvError as error:
            self._say(f"SIGTERM, and systemd does not say why: {error}")
            return
        if is_stopping:
            self._kill_after = time.monotonic() + GRACE
        else:
            self._say("SIGTERM, but the host does not go down: mcv-lease goes on")

    def _is_disarmed(self) -> bool:
        """Look at the file now and then, and take over what is new in it."""
        if time.monotonic() < self._looked + LOOK:
            return False
        self._looked = time.monotonic()
        version = armed_file.version(self._run)
        if version is not None and version == self._version:
            return False
        self._version = version
        try:
            armed = armed_file.read(self._run)
        except McvError as error:
            self._say_once(f"{error} What was read before holds.")
            return False
        self._say_once("")
        if armed is not None and armed != self._armed:
            self._follow(armed)
        return armed is None

    def _say_once(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            self._say(trouble)
        self._trouble = trouble

    def _follow(self, armed: Armed) -> None:
        """The periods, the voters and what a lost lease means change without a restart.

        Another node's name, etcd or watchdog do not: for these the node is disarmed first.
        """
        self._armed = armed
        self._lease.wanted = armed.timing
        self._lease.on_lost = OnLost(armed.on_lost)
        self._lease.proves = armed.proves
        self._sends.follow(armed)
        self._say(f"renews every {armed.renewal:g} s, valid for {armed.validity:g} s")


def say(text: str) -> None:
    """One line for the journal; where nobody reads the journal, the line is lost."""
    try:
        os.write(2, (printable.line(text) + "\n").encode())
    except OSError:
        return


def wrapped(armed: Armed | None) -> KeptWatchdog:
    if armed is None:
        return KeptWatchdog("", "", say)
    return KeptWatchdog(armed.device, armed.kind, say)


def end_what_is_left(run: Path, watchdog: KeptWatchdog) -> None:
    """Where the node is not armed any more: a watchdog that was left counting would reset it.

    One that cannot be stopped is fed until the node is armed anew, or goes down.
    """
    if watchdog.end_kept():
        return
    say("the watchdog's driver has nowayout: it is fed on until the host ends")
    while signal.SIGTERM not in signal.sigpending() and not (run / armed_file.FILE).exists():
        watchdog.feed()
        time.sleep(LOOK)


def serve(run: Path = RUN, wrap: Wrap = wrapped, root: Path = Path("/")) -> int:
    """The exit code: 0 where the node is disarmed, or has given its lease back."""
    os.set_blocking(2, False)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # until it is known what to do
    try:
        armed = armed_file.read(run)
        if armed is None:
            say("this node is not armed")
            end_what_is_left(run, wrap(None))
            return 0
        for trouble in foremost.process():
            say(trouble)
        process = LeaseProcess(armed, wrap(armed), Remains(root), run, say)
        signal.signal(signal.SIGTERM, process.tell)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        say(f"looks after the lease of {armed.node} with {armed.kind}")
        process.go()
    except (McvError, OSError) as error:
        say(str(error))
        time.sleep(PAUSE)
        return 1
    return 0
