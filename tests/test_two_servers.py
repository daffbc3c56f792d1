"""The page of the two servers: ten commands, and what the lab types in their place."""

import re
import subprocess

import pytest

from tests.lab.ha.test_example import PAGE, in_the_lab, script, ten

VALUES = {"witness": "node4 --ip-address 10.99.0.4", "password": "pw", "device": "", "secret": "s"}


def test_there_are_ten_commands_one_of_them_on_the_other_host() -> None:
    typed = ten(PAGE)

    assert len(typed) == 10
    [elsewhere] = [each for each in typed if each.node == "node2"]
    assert elsewhere.words == "fence test n1 --off"


def test_the_lab_has_its_own_names_in_each_of_them() -> None:
    for typed in ten(PAGE):
        words = in_the_lab(typed.words, **VALUES)
        assert not re.search(r"192\.0\.2|\bn[12]\b|\bbr0\b|\bw\b|apc", words), words


@pytest.mark.parametrize("name", ["db", "www"])
def test_the_scripts_know_start_stop_and_status(name: str) -> None:
    text = script(name)

    subprocess.run(["sh", "-n"], input=text, text=True, check=True)
    assert [word for word in ("start", "stop", "status") if f"\n{word})" in text] == [
        "start",
        "stop",
        "status",
    ]
    assert "192.0.2" not in text and f"/run/{name}.pid" in text
    assert ("http.server" in text) == (name == "www")
