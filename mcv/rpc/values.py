"""What crosses the wire: JSON alone, and errors of our own family whole."""

import json
import logging
from typing import Any

from Pyro5 import serializers

from mcv import errors, printable
from mcv.errors import McvError, Refused, error_to_plain
from mcv.rpc.limits import MAX_ANSWER, MAX_MESSAGE

log = logging.getLogger(__name__)

ERROR = "mcv.error"


def error_from_plain(value: dict[str, Any]) -> McvError:
    """Rebuild an error from its plain values; of an unknown class it becomes an McvError.

    Its words are another node's, or quote a tool's: each is one line.
    """
    kind = errors.family().get(str(value.get("class")), McvError)
    problems = [(_line(said), _line(hint)) for said, hint in value.get("problems") or []]
    return kind(_line(value.get("message", "")), _line(value.get("hint", "")), problems)


def _line(value: object) -> str:
    return printable.line(str(value))


def internal_error(what: str) -> McvError:
    """What a caller learns of a mistake in the daemon; the traceback stays in its log."""
    return McvError(
        f"{what} ended in an internal error of mcvd.",
        "Its log tells more: journalctl --unit mcvd",
    )


def _flat(data: Any) -> Any:
    from mcv.rpc import decoding

    return decoding.flat(data)


class Json(serializers.JsonSerializer):  # type: ignore[misc]
    """Pyro's JSON without its classes.

    Pyro's own serializer builds an object wherever a dict has the key `__class__` (proxies, any
    built-in exception, with attributes of the sender's choice), and sends the traceback
    of every exception along. Here a request is data and nothing else, and of an answer
    only the outermost dict can be an error, of our own family.
    """

    def loadsCall(self, data: Any) -> tuple[Any, Any, Any, Any]:
        # Imported here: a command line decodes no call, and begins faster without.
        from mcv.rpc import decoding

        return decoding.decoded_call(data)

    def loads(self, data: Any) -> Any:
        value = json.loads(bytes(data)) if len(data) <= MAX_ANSWER else _flat(data)
        if isinstance(value, dict) and value.get("__class__") == ERROR:
            return error_from_plain(value)
        return value

    def dumpsCall(self, obj: Any, method: Any, vargs: Any, kwargs: Any) -> bytes:
        return self._encode({"object": obj, "method": method, "params": vargs, "kwargs": kwargs})

    def dumps(self, data: Any) -> bytes:
        if isinstance(data, BaseException):
            return self._encode({"__class__": ERROR, **error_to_plain(_presentable(data))})
        return self._encode(data)

    def default(self, obj: Any) -> Any:
        raise TypeError(f"a {type(obj).__name__} cannot cross the wire")

    def _encode(self, value: Any) -> bytes:
        data = json.dumps(value, default=self.default).encode("ascii")
        if len(data) > MAX_MESSAGE:
            limit = MAX_MESSAGE // 1024**2
            raise Refused(f"A message of more than {limit} MiB does not cross the wire.")
        return data


def _presentable(error: BaseException) -> McvError:
    if isinstance(error, McvError):
        return error
    log.error("a request failed inside the wire", exc_info=error)
    return internal_error("The request")
