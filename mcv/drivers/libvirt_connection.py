"""The connection to the libvirt of this host: opened when needed, errors translated."""

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from mcv.drivers import libvirt_identity
from mcv.drivers.libvirt_deadlines import LOOK, Circuit
from mcv.drivers.libvirt_identity import KnownUuids, Marks
from mcv.errors import HypervisorFailed, McvError
from mcv.system import stall

T = TypeVar("T")
P = ParamSpec("P")

AGAIN = 1.0  # s between two tries to reach a libvirtd that has gone away


class Connection:
    """One connection to libvirt, shared by all threads; a dead connection is opened again.

    A VM's domain is found by the UUID that `known` gives for its name, and by mcv's mark. The
    calls block while libvirt hangs: what other modules call is bounded by `read` and `change`.
    """

    def __init__(self, uri: str, known: KnownUuids, node: str = "this host") -> None:
        self._uri = uri
        self.known = known
        self.marks = Marks()
        self._guard = threading.Lock()
        self._connected: Any = None
        self._node = node
        self.circuit = Circuit(self._probe, node)

    def _probe(self) -> None:
        probing = self._open()
        try:
            probing.getLibVersion()
        finally:
            probing.close()

    def _open(self) -> Any:
        """A new connection. An error of it is marked: no call has been sent."""
        try:
            return libvirt_module().open(self._uri)
        except libvirt_module().libvirtError as error:
            error.is_unsent = True
            raise

    def change_once_more(self, what: str, work: Callable[[], T]) -> T:
        """Carry out a change that is harmless when done twice; see Circuit.change.

        Where libvirtd goes away in the middle, what it did is not known. It is waited for until
        it is back, and the change is carried out again.
        """
        try:
            return self.circuit.change(what, work)
        except HypervisorFailed as error:
            if not _went_away(error):
                raise
            self._await_libvirt(what, error)
            return self.circuit.change(what, work)

    def _await_libvirt(self, what: str, error: HypervisorFailed) -> None:
        """Wait until libvirt answers without an error; where nobody listens, raise it again."""
        while True:
            try:
                self.circuit.read(self._probe)
            except (libvirt_module().libvirtError, McvError):
                if stall.listener.get() is None:
                    raise error from None
                stall.tell(f"libvirt went away on {self._node} in the middle of it ({what})")
                self.circuit.await_answer(LOOK)
                time.sleep(AGAIN)
            else:
                stall.tell("")
                return

    def current(self) -> Any:
        """The open libvirt connection; opened again where libvirtd has gone since."""
        with self._guard:
            if self._connected is not None and is_alive(self._connected):
                return self._connected
            self._forget()
            self._connected = self._open()
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
        """Look a VM's domain up, None where it is missing and may be; errors name the verb.

        A domain of that name which is not the VM's is none.
        """
        with self.translated(f"Could not {verb} {name}"):
            domain = self.retrying(lambda connection: self._own(connection, name))
            if domain is None and not missing_ok:
                raise self.retrying(lambda connection: self._missing(connection, verb, name))
            yield domain

    def _own(self, connection: Any, name: str) -> Any:
        uuid = self.known().get(name)
        domain = libvirt_identity.own(libvirt_module(), connection, uuid)
        if domain is None and uuid:
            self.marks.forget(uuid)
        return domain

    def _missing(self, connection: Any, verb: str, name: str) -> HypervisorFailed:
        libvirt, uuid = libvirt_module(), self.known().get(name)
        if libvirt_identity.in_the_way(libvirt, connection, name, uuid) is not None:
            return HypervisorFailed(f"Could not {verb} {name}: the domain {name} is not mcv's.")
        return HypervisorFailed(f"Could not {verb} {name}: Domain not found.")

    @contextlib.contextmanager
    def own_connection(self, name: str, verb: str) -> Iterator[Any]:
        """A VM's domain on a connection of its own, for a call that lasts.

        Any other question on a busy connection waits until that call ends.
        """
        with self.translated(f"Could not {verb} {name}"):
            connection = self._open()
            try:
                domain = self._own(connection, name)
                if domain is None:
                    raise self._missing(connection, verb, name)
                yield domain
            finally:
                connection.close()

    @contextlib.contextmanager
    def marked(self, name: str, verb: str) -> Iterator[Any]:
        """A domain of mcv's by the name that libvirt has for it, in a document or not."""
        with self.translated(f"Could not {verb} {name}"):
            libvirt = libvirt_module()
            domain = self.retrying(lambda host: libvirt_identity.by_name(libvirt, host, name))
            if domain is None or not libvirt_identity.is_marked(libvirt, domain):
                raise self.retrying(lambda connection: self._missing(connection, verb, name))
            yield domain

    @contextlib.contextmanager
    def translated(self, what: str) -> Iterator[None]:
        """Raise HypervisorFailed for an error of libvirt, with `what` before libvirt's message."""
        try:
            yield
        except libvirt_module().libvirtError as error:
            message = error.get_error_message() or str(error)
            raise HypervisorFailed(f"{what}: {message.rstrip('.')}.") from error


class _Connected(Protocol):
    """What has calls to bound: the Hypervisor, and its live migrations."""

    _connection: Connection


C = TypeVar("C", bound=_Connected)


def read(method: Callable[Concatenate[C, P], T]) -> Callable[Concatenate[C, P], T]:
    """Bound a method that asks libvirt: LibvirtSilent where it does not answer in time."""

    @functools.wraps(method)
    def bounded(self: C, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._connection.circuit.read(lambda: method(self, *args, **kwargs))

    return bounded


def slow_read(method: Callable[Concatenate[C, P], T]) -> Callable[Concatenate[C, P], T]:
    """As `read`, for a question whose answer takes libvirt long."""

    @functools.wraps(method)
    def bounded(self: C, /, *args: P.args, **kwargs: P.kwargs) -> T:
        work = functools.partial(method, self, *args, **kwargs)
        return self._connection.circuit.read(work, slow=True)

    return bounded


def change(method: Callable[Concatenate[C, P], T]) -> Callable[Concatenate[C, P], T]:
    """Have a method that changes something waited for to its end; it is harmless when repeated."""

    @functools.wraps(method)
    def awaited(self: C, /, *args: P.args, **kwargs: P.kwargs) -> T:
        what = method.__name__.replace("_", " ")
        return self._connection.change_once_more(what, lambda: method(self, *args, **kwargs))

    return awaited


def change_once(method: Callable[Concatenate[C, P], T]) -> Callable[Concatenate[C, P], T]:
    """As `change`, for a method that is never repeated by itself."""

    @functools.wraps(method)
    def awaited(self: C, /, *args: P.args, **kwargs: P.kwargs) -> T:
        what = method.__name__.replace("_", " ")
        return self._connection.circuit.change(what, lambda: method(self, *args, **kwargs))

    return awaited


def _went_away(error: HypervisorFailed) -> bool:
    """Whether libvirtd went away in the middle of a call that it had been sent."""
    cause = error.__cause__
    libvirt = libvirt_module()
    is_of_wire = (
        isinstance(cause, libvirt.libvirtError) and cause.get_error_domain() == libvirt.VIR_FROM_RPC
    )
    return is_of_wire and not getattr(cause, "is_unsent", False)


_silenced = False


def libvirt_module() -> Any:
    """Libvirt's module, imported when it is needed, and kept from printing errors itself."""
    global _silenced
    import libvirt

    if not _silenced:
        libvirt.registerErrorHandler(lambda context, error: None, None)
        _silenced = True
    return libvirt


def qemu_module() -> Any:
    """The part of libvirt's module that is about QEMU alone."""
    import libvirt_qemu

    return libvirt_qemu


def is_alive(connection: Any) -> bool:
    try:
        return bool(connection.isAlive())
    except libvirt_module().libvirtError:
        return False


def is_answer(error: Exception) -> bool:
    """Whether an error is libvirt's answer to a call, and not the end of the connection to it."""
    libvirt = libvirt_module()
    if not isinstance(error, libvirt.libvirtError):
        return False
    return bool(error.get_error_domain() != libvirt.VIR_FROM_RPC)


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


def undefine_whole(domain: Any) -> None:
    """Undefine with all that libvirt keeps of a domain; its drivers know different flags."""
    libvirt = libvirt_module()
    common = (
        libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    )
    # UEFI's variables are a disk of the VM's: its plans move it, and delete it.
    qemu = libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    try:
        domain.undefineFlags(common | qemu)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_INVALID_ARG:
            raise
        domain.undefineFlags(common)
