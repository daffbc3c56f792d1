"""The facts of a host that may join, asked for over SSH and judged on arrival."""

import json
import re
import time

import msgspec

from mcv.cluster import suitability
from mcv.cluster.facts import NodeFacts, facts
from mcv.errors import CommandFailed, DaemonDown, Refused, refuse_all
from mcv.host import Host
from mcv.system import ssh
from mcv.system.addresses import with_port

NO_COMMAND = 127  # what a shell exits with where it finds no such command
QUOTED = 200  # characters of an answer that is none


def suitable(host: Host, remote: ssh.Remote, node: str, ip_address: str) -> NodeFacts:
    """The facts of another host that can be a member.

    Raises Refused, with every reason, where it cannot or where it does not tell its facts.
    """
    before = time.time()
    theirs = ask(remote, node, with_port(host.settings.address, host.settings.port))
    asked = (before, time.time())
    mine = facts(host, [with_port(ip_address, host.settings.port)])
    refuse_all(suitability.problems(host.read(), node, ip_address, mine, theirs, asked))
    return theirs


def ask(remote: ssh.Remote, node: str, way_back: str) -> NodeFacts:
    try:
        text = remote.run("mcv", "cluster", "facts", "--json", "--reach", way_back)
    except CommandFailed as error:
        raise _without_facts(node, error) from error
    return _read_facts(node, text)


def _without_facts(node: str, error: CommandFailed) -> Refused:
    """Why a host does not tell its facts, by what its shell, or mcv there, said."""
    if not isinstance(error, ssh.Exited):
        help_ = "Look at its load, and at the log of mcvd there: journalctl -u mcvd"
        return Refused(f"{node} does not tell its facts: {error.message}", help_)
    if error.code == NO_COMMAND:
        return Refused(
            f"There is no mcv on {node}.", "Install it there, then start it: systemctl start mcvd"
        )
    if error.told == DaemonDown.kind:
        return Refused(
            f"mcvd does not answer on {node}.",
            "Start it there: systemctl start mcvd; its log: journalctl -u mcvd",
        )
    return Refused(f"{node} does not tell its facts: {error.message}", error.hint)


def _read_facts(node: str, text: str) -> NodeFacts:
    """The facts among what a host printed: a login shell there may have printed before."""
    problem = ""
    for place in re.finditer(r'\{\s*"', text):
        try:
            value, _ = json.JSONDecoder().raw_decode(text, place.start())
            return msgspec.convert(value, NodeFacts)
        except (ValueError, RecursionError, msgspec.ValidationError) as error:
            problem = f" ({error})"
    quoted = " ".join(text.split())[:QUOTED] or "nothing"
    raise Refused(
        f"{node} answers with something that is not mcv's, or not this mcv's{problem}: {quoted}",
        "Install the same version of mcv on both nodes.",
    )
