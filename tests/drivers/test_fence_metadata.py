"""What a fence agent tells of itself, and which parameters are passed on to it.

recorded/fence_agents/ has the names and kinds of Debian 12's fence-agents 4.12.1, no texts.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from mcv.drivers import fence_metadata
from mcv.drivers.fence_metadata import Metadata
from mcv.errors import CommandFailed
from tests.lab.power import AGENT

RECORDED = Path(__file__).with_name("recorded") / "fence_agents"


def lab() -> Metadata:
    done = subprocess.run(
        [sys.executable, str(AGENT)], input="action=metadata\n", capture_output=True, text=True
    )
    return fence_metadata.parse(done.stdout, "fence_lab")


def recorded(agent: str) -> Metadata:
    return fence_metadata.parse((RECORDED / f"{agent}.xml").read_text(), agent)


def said(metadata: Metadata, plain: dict[str, str], **secret: str) -> list[str]:
    found = fence_metadata.problems("fence_x", metadata, plain, secret)
    return [problem.message for problem in found]


def test_the_tests_own_agent_tells_what_debian_s_tell() -> None:
    metadata = lab()

    assert {"on", "off", "status", "monitor"} <= metadata.actions
    assert (metadata.plug, metadata.needs_plug, metadata.only_cuts_off) == ("plug", True, False)
    assert said(metadata, {"ip": "192.0.2.1", "username": "root"}, password="x") == []


@pytest.mark.parametrize(
    ("agent", "plain", "secret"),
    [
        ("fence_ipmilan", {"ip": "192.0.2.1", "username": "root", "lanplus": "1"}, "password"),
        ("fence_ipmilan", {"ipaddr": "192.0.2.1", "login": "root", "auth": "md5"}, "passwd"),
        ("fence_apc_snmp", {"ip": "192.0.2.1", "snmp_version": "2c"}, "community"),
        ("fence_virsh", {"ip": "h1", "username": "root", "ssh": "1"}, "identity_file"),
    ],
)
def test_a_device_of_debian_s_agents_is_accepted(
    agent: str, plain: dict[str, str], secret: str
) -> None:
    assert said(recorded(agent), plain, **{secret: "x"}) == []


def test_all_that_is_missing_or_unknown_is_said_at_once() -> None:
    found = said(recorded("fence_apc_snmp"), {"colour": "red", "snmp_version": "4", "ipport": "x"})

    assert found == [
        "fence_x has no parameter colour.",
        "snmp_version is 1 or 2c or 3, not '4'.",
        "ipport is a number, not 'x'.",
        "fence_x needs ip.",
    ]


@pytest.mark.parametrize(
    "name",
    [
        *("password_script", "passwd_script", "snmp_priv_passwd_script", "ipmitool_path"),
        *("debug", "debug_file", "verbose", "verbose_level", "cookie_file", "openstack-path"),
        *("action", "plug", "port", "exec", "ssh_options", "logfile", "missing_as_off", "openrc"),
        *("runonfail", "runonwarn", "kubeconfig", "boto3_debug", "help", "version"),
    ],
)
def test_what_runs_or_writes_or_logs_is_passed_on_in_no_way(name: str) -> None:
    metadata = Metadata({name: fence_metadata.Parameter(name)}, frozenset(), "", False, False)

    plain = fence_metadata.problems("fence_x", metadata, {name: "x"}, {})
    secret = fence_metadata.problems("fence_x", metadata, {}, {name: "x"})

    assert [problem.message for problem in plain if "not passed on" in problem.message]
    assert [problem.message for problem in secret if "not passed on" in problem.message]
    assert fence_metadata.accepted(metadata) == []


@pytest.mark.parametrize("name", ["password", "passwd", "community", "identity_file"])
def test_a_secret_is_no_argument(name: str) -> None:
    metadata = Metadata({name: fence_metadata.Parameter(name)}, frozenset(), "", False, False)

    found = fence_metadata.problems("fence_x", metadata, {name: "x"}, {})

    assert f"{name} is a secret, and arguments are seen by everybody." in [
        problem.message for problem in found
    ]
    assert f"--secret-file {name}=FILE" in " ".join(problem.hint for problem in found)


@pytest.mark.parametrize("value", ["", " x", "x ", '"x"', "a\nb", "a\x1bb"])
def test_a_value_that_an_agent_would_read_otherwise_is_refused(value: str) -> None:
    metadata = lab()

    assert said(metadata, {"ip": "192.0.2.1", "username": value}) != []
    [problem] = said(metadata, {"ip": "192.0.2.1"}, password=value)
    assert problem.startswith("password ")
    assert value == "" or repr(value) not in problem


@pytest.mark.parametrize("ip", ["-oProxyCommand=x", "h -o x", "$(id)", "`id`", "a;b", "a'b"])
def test_an_address_is_one_word_that_no_shell_takes_for_more(ip: str) -> None:
    assert said(lab(), {"ip": ip}) == [f"ip is one word, without quotes, not {ip!r}."]


@pytest.mark.parametrize("name", ["community", "hexadecimal_kg"])
def test_a_secret_that_agents_put_into_command_lines_is_one_word(name: str) -> None:
    metadata = Metadata({name: fence_metadata.Parameter(name)}, frozenset(), "", False, False)

    def problems(value: str) -> list[str]:
        found = fence_metadata.problems("fence_x", metadata, {}, {name: value})
        return [problem.message for problem in found if problem.message.startswith(name)]

    assert problems("a1b2") == []
    assert problems("a -f /etc/x") == [f"{name} is one word, without quotes."]


def test_an_agent_that_only_cuts_a_host_off_is_none_for_mcv() -> None:
    found = said(recorded("fence_brocade"), {"ip": "192.0.2.1", "username": "root"}, password="x")

    assert found == ["fence_x takes a host off a disk or a network, and its guests run on."]


def test_an_agent_that_cannot_be_asked_is_none_for_mcv() -> None:
    assert said(recorded("fence_kdump"), {}) == [
        "fence_x has no on and no status, so it cannot be relied on."
    ]


@pytest.mark.parametrize("text", ["", "no xml", "<a><b></a>"])
def test_what_is_no_metadata_is_an_error(text: str) -> None:
    with pytest.raises(CommandFailed, match="tells nothing of itself"):
        fence_metadata.parse(text, "fence_x")


def test_a_device_with_one_plug_has_no_name_for_it() -> None:
    metadata = Metadata({}, frozenset(), "", False, False)

    assert fence_metadata.why_not_port("fence_x", metadata, "") == ""
    said = fence_metadata.why_not_port("fence_x", metadata, "7")
    assert said == "fence_x has one plug, and no name for it"


@pytest.mark.parametrize(
    ("agent", "port", "why"),
    [
        ("fence_apc_snmp", "", "fence_x needs to know which plug"),
        ("fence_apc_snmp", "7", ""),
        ("fence_ipmilan", "", ""),
        ("fence_apc_snmp", "-7", "a plug does not begin with -"),
        ("fence_apc_snmp", "7 ", "a plug begins or ends with a blank, which agents do not read"),
    ],
)
def test_a_plug_has_a_name_where_the_device_has_several(agent: str, port: str, why: str) -> None:
    assert fence_metadata.why_not_port("fence_x", recorded(agent), port) == why
