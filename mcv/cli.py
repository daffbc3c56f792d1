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
    if words[:1] == ["--version"]:
        import mcv

        print(f"mcv {mcv.__version__}")
        return
    if os.geteuid() != 0 and not _answers_everybody(words):
        sys.exit(_refuse(words))
    _configure_terminal()
    from mcv.commands.root import front

    front.main(args=words, prog_name="mcv")


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
