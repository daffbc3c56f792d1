"""What operators write on a VM: a description, and tags to find it by."""

from typing import Annotated

from msgspec import Meta

MOST_DESCRIPTION = 1000  # characters
MOST_TAGS = 64

# One line: no control character acts on a terminal.
Description = Annotated[
    str,
    Meta(pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z", max_length=MOST_DESCRIPTION),
]
Tag = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:/@=+-]{0,62}\Z")]
Tags = Annotated[tuple[Tag, ...], Meta(max_length=MOST_TAGS)]  # sorted, each once
