"""The connection to the libvirt of this host: opened when needed, errors translated."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from mcv.errors import HypervisorFailed

T = TypeVar("T")


class Connection:
    """One connection to libvirt, shared by all threads; a dead connection is opened again."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._guard = threading.Lock()
        self._connected: Any = None

    def current(self) -> Any:
        """The open libvirt connection; opened again where libvirtd has gone since."""
        with self._guard:
            if self._connected is not None and _alive(self._connected):
                return self._connected
            self._forget()
            self._connected = libvirt_module().open(self._uri)
            return self._connected

    def _forget(self) -> None:
        if self._connected is not None:
            with contextlib.suppress(libvirt_module().libvirtError):
                self._connected.close()
        self._connected = None

    def retrying(self, ask: Callable[[Any], T]) -> T:
        """Ask a question that changes nothing; once more where the connection has just died.

        A libvirtd that was restarted is noticed only by the first call after it.
        """
        try:
            return ask(self.current())
        except libvirt_module().libvirtError as error:
            if error.get_error_domain() != libvirt_module().VIR_FROM_RPC:
                raise
            with self._guard:
                self._forget()
            return ask(self.current())

    @contextlib.contextmanager
    def domain(self, name: str, verb: str, missing_ok: bool = False) -> Iterator[Any]:
        """Look a domain up, None where it is missing and may be; libvirt's errors name the verb."""
        with self.translated(f"Could not {verb} {name}"):
            try:
                domain = self.retrying(lambda connection: connection.lookupByName(name))
            except libvirt_module().libvirtError as error:
                if not (missing_ok and is_missing(error)):
                    raise
                domain = None
            yield domain

    @contextlib.contextmanager
    def own_connection(self, name: str, verb: str) -> Iterator[Any]:
        """A domain on a connection of its own, for a call that lasts.

        Any other question on a busy connection waits until that call ends.
        """
        with self.translated(f"Could not {verb} {name}"):
            connection = libvirt_module().open(self._uri)
            try:
                yield connection.lookupByName(name)
            finally:
                connection.close()

    @contextlib.contextmanager
    def translated(self, what: str) -> Iterator[None]:
        """Raise HypervisorFailed for an error of libvirt, with `what` before libvirt's message."""
        try:
            yield
        except libvirt_module().libvirtError as error:
            message = error.get_error_message() or str(error)
            raise HypervisorFailed(f"{what}: {message.rstrip('.')}.") from error


_silenced = False


def libvirt_module() -> Any:
    """Libvirt's module, imported when it is needed, and kept from printing errors itself."""
    global _silenced
    import libvirt

    if not _silenced:
        libvirt.registerErrorHandler(lambda context, error: None, None)
        _silenced = True
    return libvirt


def _alive(connection: Any) -> bool:
    try:
        return bool(connection.isAlive())
    except libvirt_module().libvirtError:
        return False


def is_missing(error: Any) -> bool:
    """Whether libvirt says that there is no such domain."""
    return bool(error.get_error_code() == libvirt_module().VIR_ERR_NO_DOMAIN)


@contextlib.contextmanager
def ignoring_missing() -> Iterator[None]:
    """Pass over a domain that disappears while it is looked at."""
    try:
        yield
    except libvirt_module().libvirtError as error:
        if not is_missing(error):
            raise
