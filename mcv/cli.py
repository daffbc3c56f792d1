"""Front door of the command line: the version, the root check, and then the commands.

What is imported here is paid for by every command, so nothing is that is not needed yet.
"""

import os
import sys

NOT_ROOT = "Only root may use mcv."
NOT_ROOT_HINT = "Try: sudo mcv"


def main() -> None:
    """Run one command line; its exit code is the error's, 2 for usage, 130 for Ctrl-C."""
    words = sys.argv[1:]
    _open_streams()
    if words[:1] == ["--version"]:
        sys.exit(_say_version())
    if os.geteuid() != 0 and not _answers_everybody(words):
        sys.exit(_refuse(words))
    _configure_terminal()
    from mcv.commands.root import front

    front.main(args=words, prog_name="mcv")


def _open_streams() -> None:
    """Stand in for streams that the caller closed.

    The next file or socket would get their descriptors, and what is said would go there. A
    stdout that was closed takes nothing, and that is told like any other failure to write.
    """
    for fd, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, flags)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)


def _say_version() -> int:
    import mcv

    try:
        print(f"mcv {mcv.__version__}", flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        print(f"Error: stdout cannot be written: {error.strerror}.", file=sys.stderr)
        return 3
    return 0


def _answers_everybody(words: list[str]) -> bool:
    """Help and completion tell nothing that only root may know."""
    options = words[: words.index("--")] if "--" in words else words
    return "--help" in options or "_MCV_COMPLETE" in os.environ


def _refuse(words: list[str]) -> int:
    if "--json" in words:
        import json

        said = {
            "error": "not-permitted",
            "message": NOT_ROOT,
            "hint": NOT_ROOT_HINT,
            "problems": [],
        }
        print(json.dumps(said), file=sys.stderr)
    else:
        print(f"Error: {NOT_ROOT} {NOT_ROOT_HINT}", file=sys.stderr)
    return 3


def _configure_terminal() -> None:
    """Replace letters that the terminal lacks; make losing the terminal act like Ctrl-C."""
    import signal

    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
    for number in (signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
