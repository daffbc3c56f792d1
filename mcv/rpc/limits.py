"""How large a message may be; of a call its beginning tells, before the rest is read."""

import re

MAX_MESSAGE = 64 * 1024**2
MAX_CALL = 4 * 1024**2  # of a call that brings no document
MAX_ANSWER = 16 * 1024**2  # of a member's answer that is no document; an image's part has 5
LARGE_ANSWERS = frozenset({"config.fetch"})

# The calls that bring documents, and how such a call begins.
LARGE_CALL = re.compile(r"config\.[a-z_]+|member\.adopt|cluster\.stage_join")
LARGE_BEGINNING = re.compile(
    rb'\{"object": ?"mcv", ?"method": ?"call", ?"params": ?\["(?:%s)"' % LARGE_CALL.pattern.encode()
)
BEGINNING = 128  # bytes that tell whether a call may be large


def may_be_large(beginning: bytes) -> bool:
    """Whether a call that begins so may have more than MAX_CALL bytes."""
    return LARGE_BEGINNING.match(beginning) is not None
