"""The UEFI firmware of this host: Debian's ovmf, without Secure Boot."""

from pathlib import Path

from mcv.errors import SystemFailed, in_words

PACKAGE = "ovmf"
# Code and variables are of one build: variables of another size are at another address.
CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
VARIABLES = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
SIZE = 528 * 1024  # bytes of the variables
# A device of whole extents is larger. QEMU maps its end below the code, where the firmware looks
# for the variables: there they are. QEMU takes 8 MiB of code and variables together.
ON_EXTENTS = 4 * 1024**2


def is_there() -> bool:
    return CODE.exists() and VARIABLES.exists()


def variables(size: int = SIZE) -> bytes:
    """The variables of a machine that was never switched on, at the end of so many bytes.

    Raises SystemFailed for variables of another build.
    """
    with in_words(VARIABLES):
        content = VARIABLES.read_bytes()
    if len(content) != SIZE:
        raise SystemFailed(f"{VARIABLES} has {len(content)} bytes, not {SIZE}.")
    return content.rjust(size, b"\0")
