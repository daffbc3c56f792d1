"""What a fence agent tells of itself, and whether a device may be described to it so.

An agent runs as root. So no parameter is passed on that has it run a program or write a file, or
log what it is told: a password would be in the log then.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mcv.errors import CommandFailed, Refused

# A device that lacks one of them cannot be tested, or not be asked after it was told.
NEEDED = ("off", "on", "status", "monitor")

# Set by mcv itself for each call.
OWN = ("action", "plug", "port")

# Files that agents read and mcv keeps: they come by --secret-file alone.
FILES: Final = ("identity_file", "key_file")

ENDS = re.compile(r"[_-](path|script|file)\Z")
REASONS: Final = {
    "exec": "it has the agent run a command",
    "runonfail": "it has the agent run a command",
    "runonwarn": "it has the agent run a command",
    "ssh_options": "ssh's options may run a command",
    "kubeconfig": "what it names may run a command",
    "openrc": "it names a file that mcv does not keep",
    "logfile": "it has the agent write a file",
    "missing_as_off": "a plug that does not exist would count as off",
    "help": "the agent does nothing else then",
    "usage": "the agent does nothing else then",
    "version": "the agent does nothing else then",
}
SECRET = re.compile(r"passw|secret|token|api_?key|community|hexadecimal_kg|cookie")

TRUE_OR_FALSE = ("1", "yes", "on", "true", "0", "no", "off", "false")

# Agents put these into command lines of ssh, telnet and SNMP tools as they are.
WORD = re.compile(r"""[^\s'"`$\\;&|<>-][^\s'"`$\\;&|<>]*""")
WORDS = (
    *("ip", "ipaddr", "ipport", "login", "username", "target", "switch"),
    *("cipher", "ipmitool_timeout", "hexadecimal_kg", "community"),
)


@dataclass(frozen=True)
class Parameter:
    """A parameter that an agent knows; `instead` is another name of the same."""

    name: str
    kind: str = "string"
    choices: tuple[str, ...] = ()
    required: bool = False
    instead: str = ""


@dataclass(frozen=True)
class Metadata:
    """An agent's parameters and actions.

    `plug` is its name for the parameter that says which plug, "" where a device has one alone;
    `only_cuts_off`: its `off` takes a host off a disk or a network, and the host runs on.
    """

    parameters: Mapping[str, Parameter]
    actions: frozenset[str]
    plug: str
    needs_plug: bool
    only_cuts_off: bool


def parse(text: str, agent: str) -> Metadata:
    """What `action=metadata` printed. Raises CommandFailed where that is no metadata."""
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise CommandFailed(f"{agent} tells nothing of itself: {error}.") from error
    found = {one.name: one for one in map(_parameter, root.iter("parameter")) if one.name}
    actions = [action for action in root.iter("action") if action.get("name")]
    plug = next((name for name in ("plug", "port") if name in found), "")
    return Metadata(
        parameters=found,
        actions=frozenset(action.get("name", "") for action in actions),
        plug=plug,
        needs_plug=bool(plug) and found[plug].required and "port_as_ip" not in found,
        only_cuts_off=any(_is_true(action.get("automatic")) for action in actions),
    )


def _parameter(element: ET.Element) -> Parameter:
    content = element.find("content")
    kind = "string" if content is None else content.get("type", "string")
    options = [] if content is None else content.findall("option")
    return Parameter(
        name=element.get("name", ""),
        kind=kind,
        choices=tuple(option.get("value", "") for option in options),
        required=_is_true(element.get("required")),
        instead=element.get("obsoletes", ""),
    )


def _is_true(text: str | None) -> bool:
    return text in ("1", "true")


# What is wrong with a device


def problems(
    agent: str, metadata: Metadata, plain: Mapping[str, str], secret: Mapping[str, str]
) -> list[Refused]:
    """Everything that is wrong with a device of this agent; `secret` are kept on the nodes."""
    found = list(_of_agent(agent, metadata))
    for name, value in plain.items():
        found += _of_parameter(agent, metadata, name, value)
        if not why_not(name) and (SECRET.search(name) or name in FILES):
            found.append(
                Refused(
                    f"{name} is a secret, and arguments are seen by everybody.",
                    f"Write it into a file, and name that: --secret-file {name}=FILE",
                )
            )
    for name, value in secret.items():
        found += _of_secret(agent, metadata, name, value)
    found += _missing(agent, metadata, {*plain, *secret})
    found += [
        Refused(f"{name} is given twice, by --secret-file and without.")
        for name in sorted(set(plain) & set(secret))
    ]
    return found


def _of_agent(agent: str, metadata: Metadata) -> Iterator[Refused]:
    lacking = [action for action in NEEDED if action not in metadata.actions]
    if lacking:
        yield Refused(f"{agent} has no {' and no '.join(lacking)}, so it cannot be relied on.")
    if metadata.only_cuts_off:
        yield Refused(
            f"{agent} takes a host off a disk or a network, and its guests run on.",
            "A fence device of mcv's switches power.",
        )


def why_not(name: str) -> str:
    """Why a parameter is passed to no agent; "" where it may be."""
    if name in OWN:
        return "it is set for each call"
    if (same := name.replace("-", "_")) in REASONS:
        return REASONS[same]
    if "debug" in name or name.startswith("verbose"):
        return "passwords would be logged"
    if ENDS.search(name) and name not in FILES:
        return "it names a program to run, or a file to write"
    return ""


def _of_parameter(agent: str, metadata: Metadata, name: str, value: str) -> Iterator[Refused]:
    if why := why_not(name):
        yield Refused(f"{name} is not passed on: {why}.")
        return
    parameter = metadata.parameters.get(name)
    if parameter is None:
        yield Refused(
            f"{agent} has no parameter {name}.", f"It has: {', '.join(accepted(metadata))}."
        )
        return
    if why := _why_unreadable(value) or _why_wrong(parameter, value):
        yield Refused(f"{name} {why}.")


def _of_secret(agent: str, metadata: Metadata, name: str, value: str) -> Iterator[Refused]:
    """As of others, and the value is in no message."""
    if why := why_not(name):
        yield Refused(f"{name} is not passed on: {why}.")
    elif name not in metadata.parameters:
        yield Refused(
            f"{agent} has no parameter {name}.", f"It has: {', '.join(accepted(metadata))}."
        )
    elif name not in FILES and (why := _why_unreadable(value)):
        yield Refused(f"{name} {why}.")
    elif name in WORDS and not WORD.fullmatch(value):
        yield Refused(f"{name} is one word, without quotes.")


def _why_unreadable(value: str) -> str:
    """Agents read lines, without blanks at their ends and without quotes around them."""
    if not value:
        return "is empty"
    if not value.isprintable():
        return "has characters that cannot be printed"
    if value != value.strip():
        return "begins or ends with a blank, which agents do not read"
    if len(value) > 1 and value[0] == value[-1] == '"':
        return "is between quotes, which agents do not read"
    return ""


def _why_wrong(parameter: Parameter, value: str) -> str:
    if parameter.name in WORDS and not WORD.fullmatch(value):
        return f"is one word, without quotes, not {value!r}"
    if parameter.kind == "select" and value not in parameter.choices:
        return f"is {' or '.join(parameter.choices)}, not {value!r}"
    if parameter.kind in ("integer", "second") and not (value.isascii() and value.isdecimal()):
        return f"is a number, not {value!r}"
    if parameter.kind == "boolean" and value.lower() not in TRUE_OR_FALSE:
        return f"is 1 or 0, not {value!r}"
    return ""


def _missing(agent: str, metadata: Metadata, given: set[str]) -> Iterator[Refused]:
    """The parameters that an agent needs and was not given, under an old name neither."""
    old = {one.name: one.instead for one in metadata.parameters.values() if one.instead}
    for one in metadata.parameters.values():
        is_needed = one.required and not why_not(one.name) and one.name not in old.values()
        if is_needed and not {one.name, old.get(one.name, one.name)} & given:
            yield Refused(f"{agent} needs {one.name}.", f"Add: {one.name}=VALUE")


def accepted(metadata: Metadata) -> list[str]:
    """The parameters that a device of this agent may have."""
    return sorted(name for name in metadata.parameters if not why_not(name))


def why_not_port(agent: str, metadata: Metadata, port: str) -> str:
    """What is wrong with a plug's name at a device of this agent; "" where it is well."""
    if port and not metadata.plug:
        return f"{agent} has one plug, and no name for it"
    if not port and metadata.needs_plug:
        return f"{agent} needs to know which plug"
    if port and (why := _why_unreadable(port)):
        return f"a plug {why}"
    if port.startswith("-"):
        return "a plug does not begin with -"
    return ""
