"""Calls decoded: what is large is text alone.

A byte of JSON may cost thirty when it is decoded: "[]," is a list.
"""

from typing import Any

import msgspec

from mcv.errors import Refused
from mcv.rpc.limits import BEGINNING, LARGE_CALL, MAX_CALL

Flat = dict[str, str | int | float | bool | list[str] | None]


class _Call(msgspec.Struct):
    """A call whose parameters are not decoded yet."""

    object: str
    method: str
    params: list[msgspec.Raw]
    kwargs: dict[str, msgspec.Raw]


def decoded_call(data: bytes) -> tuple[str, str, list[Any], dict[str, Any]]:
    """A call's object, method and parameters; Refused for a large call without documents."""
    call = msgspec.json.decode(data, type=_Call)
    if call.kwargs:
        raise Refused("A call has no parameters by name.")
    if len(data) <= MAX_CALL:
        return call.object, call.method, [msgspec.json.decode(part) for part in call.params], {}
    return call.object, call.method, _large(call.params), {}


def _large(params: list[msgspec.Raw]) -> list[Any]:
    """The parameters of a call that brings documents as texts; Refused for any other call."""
    if len(params) != 3 or _size(params[0]) > BEGINNING or _size(params[2]) > MAX_CALL:
        raise _too_large()
    operation = msgspec.json.decode(params[0], type=str)
    if not LARGE_CALL.fullmatch(operation):
        raise _too_large()
    return [operation, flat(params[1]), msgspec.json.decode(params[2])]


def flat(data: Any) -> Flat:
    """Decode a large object of plain values; Refused where it holds objects or lists of lists."""
    try:
        return msgspec.json.decode(data, type=Flat)
    except msgspec.ValidationError as error:
        raise _too_large() from error


def _size(raw: msgspec.Raw) -> int:
    return len(memoryview(raw))


def _too_large() -> Refused:
    return Refused(f"A message of more than {MAX_CALL // 1024**2} MiB brings documents alone.")
