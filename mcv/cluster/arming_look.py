"""What a node tells before it is armed: everything that is missing, and its watchdog."""

from pathlib import Path

from msgspec import Struct

from mcv.drbd import inherited
from mcv.drivers.domain_reading import is_ours
from mcv.drivers.watchdogs import WatchdogSeen
from mcv.errors import McvError
from mcv.ha import timing
from mcv.host import Host

KERNEL = Path("/proc/sys/kernel/osrelease")
CLOCK = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")

ACTIVE = ("running", "paused")

Problem = tuple[str, str]  # message, hint


class NodeLook(Struct, frozen=True, kw_only=True):
    """A node before it is armed.

    `problems` stand in the way. `foreign` are domains that are not mcv's: a reset of the host
    takes them along. `marked` are disks whose other replica is behind, and is marked so by
    arming. `virtual` is what the host is a virtual machine of, "" for a real one.
    """

    problems: list[Problem]
    foreign: list[str] = []
    marked: list[str] = []
    watchdog: str = ""
    device: str = ""
    virtual: str = ""
    kernel: str = ""
    clock: str = ""


def look(host: Host, pace: int, trust_softdog: bool) -> NodeLook:
    """Tell another node, or this one, what stands in the way of arming this host."""
    watchdog = host.lease.watchdogs.chosen(host.settings.watchdog)
    virtual = host.lease.watchdogs.virtual()
    replicas = inherited.out_of_step(host) if host.read().drbd.enabled else []
    problems = _unit(host)
    try:
        problems += _watchdog(host, watchdog, pace)
    except McvError as error:
        problems.append((f"Who uses the watchdog of {host.name} is not known: {error.message}", ""))
    if watchdog is not None and not trust_softdog:
        problems += _evidence(host.name, watchdog, virtual)
    problems += [_told(each.problem) for each in replicas if each.why_not]
    foreign, problem = _foreign(host)
    return NodeLook(
        problems=problems + problem,
        foreign=foreign,
        marked=[each.disk for each in replicas if not each.why_not],
        watchdog=watchdog.kind if watchdog else "",
        device=watchdog.device if watchdog else "",
        virtual=virtual,
        kernel=_line(KERNEL),
        clock=_line(CLOCK),
    )


def _told(error: McvError) -> Problem:
    return error.message, error.hint


def _unit(host: Host) -> list[Problem]:
    if host.lease.is_installed:
        return []
    return [
        (
            f"mcv-lease is not installed on {host.name}.",
            f"On {host.name}: make install, of this version",
        )
    ]


def _watchdog(host: Host, watchdog: WatchdogSeen | None, pace: int) -> list[Problem]:
    """What is wrong with the watchdog, as far as that is seen without starting it."""
    me = host.name
    if watchdog is None and host.settings.watchdog:
        return [
            (
                f"{me} has no watchdog {host.settings.watchdog}, as its mcv.conf wants it.",
                f"On {me}: wdctl; a device, an identity or softdog",
            )
        ]
    if watchdog is None:
        return [
            (
                f"{me} has no watchdog, and its kernel has no softdog.",
                f"On {me}: load the driver of its watchdog (iTCO_wdt, …); see: wdctl",
            )
        ]
    device, problems = watchdog.device or watchdog.kind, []
    if told := host.lease.watchdogs.of_systemd(watchdog):
        problems.append(
            (
                f"systemd on {me} uses {device} itself: {', '.join(told)}.",
                f"On {me}: RuntimeWatchdogSec=0 and RebootWatchdogSec=0 in "
                "/etc/systemd/system.conf.d/mcv.conf, below [Manager]; systemctl daemon-reexec",
            )
        )
    users = host.lease.watchdogs.users(watchdog)
    if users or watchdog.is_active:
        by = f" by {', '.join(users)}" if users else ""
        problems.append((f"{device} of {me} is in use{by}.", f"On {me}: wdctl {watchdog.device}"))
    if watchdog.nowayout and not watchdog.is_softdog:
        problems.append(
            (
                f"{device} of {me} was built or loaded with nowayout: it could never be disarmed.",
                f"On {me}: nowayout=0 for its driver in /etc/modprobe.d, and load it anew",
            )
        )
    if watchdog.ends_when_closed:
        problems.append(
            (
                f"The driver of {device} on {me} ends its watchdog whenever it is closed: one that "
                "dies would leave guests that nothing ends.",
                f"On {me}: another one, or softdog: `watchdog` in mcv.conf",
            )
        )
    return problems + _timeout(me, watchdog, pace)


def _timeout(me: str, watchdog: WatchdogSeen, pace: int) -> list[Problem]:
    """Whether the driver takes the timeout of the pace at all."""
    wanted = timing.at_pace(pace).watchdog
    most, least = watchdog.most, watchdog.least
    if most is not None and most < wanted:
        return [
            (
                f"{watchdog.device} of {me} counts {most} s at most, and pace {pace} needs "
                f"{wanted:g} s.",
                "A lower pace, or another watchdog: `watchdog` in mcv.conf",
            )
        ]
    if least is not None and least > wanted:
        return [
            (
                f"{watchdog.device} of {me} counts {least} s at least, and pace {pace} has "
                f"{wanted:g} s.",
                "A higher pace: mcv ha arm --pace N",
            )
        ]
    return []


def _evidence(me: str, watchdog: WatchdogSeen, virtual: str) -> list[Problem]:
    """A watchdog that can be frozen with its host proves nothing without somebody's word."""
    if watchdog.is_softdog:
        what = f"{me} has no watchdog but softdog, which is frozen where its kernel is."
    elif virtual:
        what = f"{me} is a virtual machine ({virtual}), which is frozen with its watchdog."
    else:
        return []
    return [(what, "Where that is no danger to you: mcv ha arm --trust-softdog")]


def _foreign(host: Host) -> tuple[list[str], list[Problem]]:
    try:
        definitions = host.domains.definitions()
    except McvError as error:
        return [], [(f"Which guests run on {host.name} is not known: {error.message}", error.hint)]
    active = {name: each for name, each in definitions.items() if each.state in ACTIVE}
    return sorted(name for name, each in active.items() if not is_ours(each.xml)), []


def _line(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
