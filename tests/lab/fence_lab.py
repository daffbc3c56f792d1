#!/usr/bin/python3
"""A fence agent by the contract of fence-agents: it asks a power service by a line of TCP.

It needs Python alone. Parameters come as lines of `key=value`; exit code 0 is done, or on; 2 is
off, for `status`; 1 is anything that went wrong.
"""

import json
import socket
import sys

METADATA = """<?xml version="1.0" ?>
<resource-agent name="fence_lab" shortdesc="Fence agent of the tests' power service" >
<longdesc>Switches machines of the tests.</longdesc>
<vendor-url></vendor-url>
<parameters>
%s</parameters>
<actions>
	<action name="on" automatic="0"/>
	<action name="off" />
	<action name="reboot" />
	<action name="status" />
	<action name="list" />
	<action name="monitor" />
	<action name="metadata" />
</actions>
</resource-agent>
"""
PARAMETER = """\t<parameter name="%s" unique="0" required="%d"%s>
\t\t<getopt mixed="--%s" />
\t\t<content type="%s" />
\t\t<shortdesc lang="en">%s</shortdesc>
\t</parameter>
"""
PARAMETERS = (
    ("action", 1, "string", ""),
    ("ip", 1, "string", ' obsoletes="ipaddr"'),
    ("ipaddr", 1, "string", ' deprecated="1"'),
    ("ipport", 0, "integer", ""),
    ("login", 0, "string", ' deprecated="1"'),
    ("username", 0, "string", ' obsoletes="login"'),
    ("passwd", 0, "string", ' deprecated="1"'),
    ("password", 0, "string", ' obsoletes="passwd"'),
    ("password_script", 0, "string", ""),
    ("plug", 1, "string", ' obsoletes="port"'),
    ("port", 1, "string", ' deprecated="1"'),
    ("ssl", 0, "boolean", ""),
    ("verbose", 0, "boolean", ""),
    ("debug_file", 0, "string", ""),
    ("power_timeout", 0, "second", ""),
)
SAME = {"ipaddr": "ip", "login": "username", "passwd": "password", "port": "plug"}


def told() -> dict[str, str]:
    """What stands on standard input; a line that is not understood is complained about whole."""
    known = {name for name, *_ in PARAMETERS}
    found = {}
    for text in sys.stdin:
        name, _, value = text.strip().partition("=")
        if not name or name.startswith("#"):
            continue
        if name not in known:
            print(f"Parse error: Ignoring unknown option '{text.strip()}'", file=sys.stderr)
            continue
        found[SAME.get(name, name)] = value
    return found


def asked(options: dict[str, str]) -> dict[str, str]:
    """The power service's answer to one action."""
    where = (options["ip"], int(options.get("ipport", "1234")))
    with socket.create_connection(where, timeout=5) as connection:
        connection.settimeout(None)  # a service that hangs is hung with
        with connection.makefile("rw", encoding="utf-8") as file:
            file.write(json.dumps(options) + "\n")
            file.flush()
            return dict(json.loads(file.readline()))


def metadata() -> str:
    lines = [
        PARAMETER % (name, must, more, name, kind, name) for name, must, kind, more in PARAMETERS
    ]
    return METADATA % "".join(lines)


def main() -> int:
    options = told()
    action = options.get("action", "reboot")
    if action == "metadata":
        print(metadata(), end="")
        return 0
    if len(sys.argv) > 1 or "ip" not in options:
        print("Failed: You have to enter fence address", file=sys.stderr)
        return 1
    if action in ("on", "off", "status") and "plug" not in options:
        print("Failed: You have to enter plug number or machine identification", file=sys.stderr)
        return 1
    try:
        answer = asked(options)
    except (OSError, ValueError) as error:
        print(f"Unable to connect to fencing device: {error}", file=sys.stderr)
        return 1
    if "error" in answer:
        print(f"Failed: {answer['error']}", file=sys.stderr)
        return 1
    if action == "status":
        print(f"Status: {answer['state'].upper()}")
        return {"on": 0, "off": 2}[answer["state"]]
    print("Success")
    return 0


if __name__ == "__main__":
    sys.exit(main())
