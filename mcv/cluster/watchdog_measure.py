"""A node's watchdog tried, and whether a lease can be enforced by what that told."""

import logging

from mcv.cluster import lease_orders
from mcv.document.availability import HostWatchdog
from mcv.errors import CommandFailed, Refused
from mcv.ha import timing
from mcv.host import Host

log = logging.getLogger(__name__)


def measure(host: Host, pace: int) -> HostWatchdog:
    """Try this host's watchdog for some seconds, which starts and ends it.

    Precondition: a look found nothing in the way. softdog is loaded so that it can be ended.
    Raises Refused where no lease can be enforced by it.
    """
    watchdogs = host.lease.watchdogs
    watchdog = watchdogs.chosen(host.settings.watchdog)
    if watchdog is not None and watchdog.is_softdog:
        watchdogs.reload_softdog()
        watchdog = watchdogs.chosen(host.settings.watchdog)
    if watchdog is None or not watchdog.device:
        raise Refused(f"{host.name} has no watchdog any more.", f"On {host.name}: wdctl")
    try:
        told = watchdogs.measure(watchdog.device, lease_orders.usual_timeout(pace))
    except CommandFailed as error:
        raise Refused(
            f"{watchdog.device} of {host.name} cannot be tried: {error.message}",
            f"On {host.name}: wdctl {watchdog.device}",
        ) from error
    log.info("%s: %s", watchdog.device, told)
    return HostWatchdog(
        kind=told.kind,
        device=watchdog.device,
        timeout=told.timeout,
        grain=told.grain,
        hardware=not (watchdog.is_softdog or watchdogs.virtual()),
    )


def why_not(name: str, watchdog: HostWatchdog, pace: int, voters: int) -> list[Refused]:
    """What of the inequality that all rests on does not hold with this watchdog at a pace."""
    usual = lease_orders.usual_timeout(pace)
    periods = lease_orders.at_pace(pace, watchdog)
    problems = []
    if not usual <= watchdog.timeout <= 2 * usual or watchdog.grain > 2 * usual:
        problems.append(
            Refused(
                f"The watchdog of {name} counts {watchdog.timeout} s and resets up to "
                f"{watchdog.grain:g} s later; pace {pace} wants {usual} s.",
                "Another watchdog: `watchdog` in mcv.conf; or another pace: mcv ha arm --pace N",
            )
        )
    if not timing.is_safe(periods, periods.wait):
        problems.append(
            Refused(f"By the watchdog of {name} a lease is taken while guests may still run.")
        )
    if not timing.is_calm(periods, (voters - 1) // 2):
        problems.append(
            Refused(
                f"With {voters} voters a lease ends while etcd elects a leader at pace {pace}.",
                "A higher pace: mcv ha arm --pace N",
            )
        )
    return problems
