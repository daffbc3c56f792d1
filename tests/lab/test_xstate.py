"""A node's kernel runs on any processor: what is preloaded into it sets the registers."""

import ctypes
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.image import compile_xstate

TRACE_ME, GET_REGISTERS, SET_REGISTERS = 0, 0x4204, 0x4205
EXTENDED = 0x202
# The legacy registers and the header: less than a host's with AVX, as the kernel's 2696 bytes are
# less than a host's with AMX.
SHORT = 576
XMM0 = 160


class Buffer(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


@pytest.fixture
def traced() -> Iterator[int]:
    """A process that stands still under this one's trace."""
    pid = os.fork()
    if pid == 0:
        ctypes.CDLL(None).ptrace(TRACE_ME, 0, None, None)
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    os.waitpid(pid, 0)
    yield pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def registers(ptrace: ctypes.CDLL, request: int, pid: int, content: bytearray) -> int:
    """Get or set a process's extended registers; zero, or -1 where the host does not take them."""
    buffer = Buffer(
        ctypes.addressof((ctypes.c_char * len(content)).from_buffer(content)), len(content)
    )
    call = ptrace.ptrace
    call.restype = ctypes.c_long
    call.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    return int(call(request, pid, EXTENDED, ctypes.addressof(buffer)))


def test_registers_in_a_buffer_shorter_than_the_host_s_are_set(traced: int, tmp_path: Path) -> None:
    libc, preloaded = ctypes.CDLL(None), ctypes.CDLL(str(compile_xstate(tmp_path / "xstate.so")))
    content = bytearray(SHORT)
    assert registers(libc, GET_REGISTERS, traced, content) == 0
    content[XMM0 : XMM0 + 16] = b"sixteen bytes it"
    content[512] |= 2  # the header says that SSE's are in use

    assert registers(libc, SET_REGISTERS, traced, content) == -1
    assert registers(preloaded, SET_REGISTERS, traced, content) == 0

    found = bytearray(SHORT)
    assert registers(libc, GET_REGISTERS, traced, found) == 0
    assert found[XMM0 : XMM0 + 16] == b"sixteen bytes it"
