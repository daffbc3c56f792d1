"""What arrives, and cookies of a migration: of the expected domain, and nothing but words."""

import pytest

from mcv.drivers.domain_arrival import Unexpected, require_expected, require_plain_cookie

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


def card(source: str) -> str:
    return f"<domain><devices><interface>{source}</interface></devices></domain>"


def test_a_card_in_a_network_of_libvirts_has_a_port_of_the_host_it_comes_from() -> None:
    arriving = card("<source network='mcv-out' portid='72f40895-452d' bridge='mcvnat0'/>")

    require_expected(arriving, card("<source network='mcv-out'/>"))


@pytest.mark.parametrize(
    ("arriving", "expected"),
    [
        ("<source network='other' portid='1'/>", "<source network='mcv-out'/>"),
        ("<source bridge='br1' portid='1'/>", "<source bridge='br0'/>"),
        ("<source network='mcv-out' bridge='a;b'/>", "<source network='mcv-out'/>"),
        ("<source network='mcv-out' dev='eth0'/>", "<source network='mcv-out'/>"),
    ],
)
def test_a_card_elsewhere_is_not_expected(arriving: str, expected: str) -> None:
    with pytest.raises(Unexpected):
        require_expected(card(arriving), card(expected))


def booted(devices: str) -> str:
    return f"<domain><devices>{devices}</devices></domain>"


def test_a_guest_runs_with_the_order_of_booting_that_it_was_started_with() -> None:
    """A disk was plugged in since: it has no place, and took that of the card."""
    disk = "<disk><target dev='{}'/>{}</disk>"
    card = "<interface><mac address='52:54:00:00:00:01'/><boot order='{}'/></interface>"
    first = disk.format("vda", "<boot order='1'/>")

    require_expected(
        booted(first + disk.format("vdb", "") + card.format(2)),
        booted(first + disk.format("vdb", "<boot order='2'/>") + card.format(3)),
    )


@pytest.mark.parametrize(
    "boot",
    ["<boot order='x'/>", "<boot order='1' dev='hd'/>", "<boot><a/></boot>", "<boot order='-1'/>"],
)
def test_a_place_in_the_order_of_booting_is_a_number(boot: str) -> None:
    disk = "<disk><target dev='vda'/>{}</disk>"

    with pytest.raises(Unexpected):
        require_expected(booted(disk.format(boot)), booted(disk.format("<boot order='1'/>")))


def test_a_link_that_is_up_again_is_no_other_card() -> None:
    plain = "<mac address='52:54:00:00:00:01'/><source bridge='br0'/>"

    require_expected(card(f"{plain}<link state='up'/>"), card(plain))
    require_expected(card(f"{plain}<link state='down'/>"), card(f"{plain}<link state='down'/>"))
    for link in ("<link state='down'/>", "<link state='up'><a/></link>", "<link/>"):
        with pytest.raises(Unexpected):
            require_expected(card(plain + link), card(plain))
