"""Cookies of a migration: about the expected domain, and nothing in them but words."""

import pytest

from mcv.drivers.domain_arrival import Unexpected, require_plain_cookie

UUID = "72f40895-452d-40c7-91fb-cdb5da2d2e18"


def cookie(inner: str = "", name: str = "web1", uuid: str = UUID) -> str:
    return f"<qemu-migration><name>{name}</name><uuid>{uuid}</uuid>{inner}</qemu-migration>"


@pytest.mark.parametrize(
    "inner",
    [
        "",
        "<hostname>node1.example.org</hostname>",
        "<feature name='lockstate'/>",
        "<allowReboot value='yes'/>",
        "<statistics><downtime>358</downtime></statistics>",
        "<capabilities><cap name='xbzrle' auto='no'/></capabilities>",
        "<cpu mode='custom'><model>EPYC-v2</model><topology sockets='1' cores='2'/></cpu>",
    ],
)
def test_what_libvirt_says_of_a_guest_passes(inner: str) -> None:
    require_plain_cookie(cookie(inner), "web1", UUID)


@pytest.mark.parametrize(
    "text",
    [
        cookie(name="web2"),
        cookie(uuid=UUID.replace("7", "8")),
        cookie(f"<uuid>{UUID}</uuid>"),
        cookie().replace("qemu-migration", "domain"),
        cookie("<domain/>"),
        cookie("<lockstate driver='sanlock'/>"),
        cookie("<network><interface/></network>"),
        cookie("<cpu><model>a,b=c</model></cpu>"),
        cookie("<cpu><model><feature/></model></cpu>"),
        cookie("<hostname>a/b</hostname>"),
        cookie("<hostname>\n\nx" + "y" * 200 + "</hostname>"),
        cookie("<a/>" * 3000),
        "no XML",
    ],
)
def test_what_a_cookie_has_no_reason_to_say_is_refused(text: str) -> None:
    with pytest.raises(Unexpected):
        require_plain_cookie(text, "web1", UUID)
