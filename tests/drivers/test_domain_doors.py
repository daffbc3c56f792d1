"""The doors of a running domain, read from libvirt's XML; other readers of its pty."""

import os

import pytest

from mcv.drivers.domain_doors import Doors, console_of, screen_of

DEVICES = "<domain><devices>{}</devices></domain>"


@pytest.mark.parametrize(
    ("serial", "expected"),
    [
        ("<serial type='pty'><source path='/dev/pts/3'/></serial>", "/dev/pts/3"),
        (
            "<console type='pty' tty='/dev/pts/4'><source path='/dev/pts/4'/></console>",
            "/dev/pts/4",
        ),
        ("<serial type='pty'><target port='0'/></serial>", ""),
        ("<serial type='file'><source path='/var/tmp/x'/></serial>", ""),
        ("<serial type='pty'><source path='/etc/shadow'/></serial>", ""),
        ("", ""),
    ],
)
def test_the_serial_line_is_a_pty(serial: str, expected: str) -> None:
    assert console_of(DEVICES.format(serial)) == expected


@pytest.mark.parametrize(
    ("graphics", "expected"),
    [
        (
            "<graphics type='vnc'><listen type='socket' socket='/x/vnc.sock'/></graphics>",
            "/x/vnc.sock",
        ),
        ("<graphics type='vnc'><listen type='socket'/></graphics>", ""),
        ("<graphics type='vnc' port='5901' listen='127.0.0.1'/>", "127.0.0.1:5901"),
        ("<graphics type='vnc' port='5901' listen='0.0.0.0'/>", ""),
        ("<graphics type='vnc' port='-1' autoport='yes'/>", ""),
        ("<graphics type='spice' port='5901' listen='127.0.0.1'/>", ""),
    ],
)
def test_the_screen_is_a_unix_socket_or_a_port_of_loopback(graphics: str, expected: str) -> None:
    assert screen_of(DEVICES.format(graphics)) == expected


def test_a_domain_that_does_not_run_has_no_doors() -> None:
    assert (console_of(""), screen_of("")) == ("", "")


def test_another_process_that_has_the_pty_open_is_told() -> None:
    ours, line = os.openpty()
    pty = os.ttyname(line)
    try:
        assert Doors.readers(None, pty) == []  # type: ignore[arg-type]
        child = os.fork()
        if not child:
            os.execvp("sleep", ["sleep", "30"])
    finally:
        os.close(ours)
        os.close(line)
    os.kill(child, 9)
    os.waitpid(child, 0)
