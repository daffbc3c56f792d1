"""DRBD's kernel module and utilities: whether they are here, and which."""

import re

from mcv.drivers.drbd_tools import Tools, without_secret
from mcv.errors import CommandFailed
from mcv.system import files, process


class Module:
    """The module of this host's kernel, and the utilities beside it."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._version = tools.root / "sys/module/drbd/version"

    @property
    def is_loaded(self) -> bool:
        return self._tools.is_loaded

    def load(self) -> None:
        """Load the kernel module; harmless when it is loaded."""
        if not self._tools.is_loaded:
            self._tools.run("modprobe", "drbd")

    def versions(self) -> tuple[str, str]:
        """The version of the loaded module ("" if none is) and that of the utilities."""
        utils = re.search(
            r"^DRBDADM_VERSION=(\S+)", self._tools.run("drbdadm", "--version"), re.MULTILINE
        )
        kernel = files.read_or_none(self._version) or ""
        return kernel.strip(), utils.group(1) if utils else ""

    def generation(self) -> int:
        """8 or 9: of the loaded module, else of the one that would be loaded, else 0."""
        kernel = files.read_or_none(self._version) or self.loadable_version()
        number = kernel.strip().partition(".")[0]
        return int(number) if number.isdecimal() else 0

    def missing(self) -> dict[str, str]:
        """The tools for disks that this host does not have, each with its Debian package."""
        return process.missing()

    def complaint(self) -> str:
        """What drbdadm says where it cannot read the host's own configuration; else "".

        mcv's calls read the files of their resources alone. The administrator's read all.
        """
        try:
            self._tools.run("drbdadm", "sh-resources")
        except CommandFailed as error:
            return without_secret(error.message)
        return ""

    def loadable_version(self) -> str:
        """The version of the module that would be loaded; "" if there is none."""
        try:
            return self._tools.run("modinfo", "--field", "version", "drbd").strip()
        except CommandFailed:
            return ""
