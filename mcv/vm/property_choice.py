"""The properties that an operator changes of a VM, as typed: each judged, every problem at once."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar, get_args

import msgspec
from msgspec import Struct, field

from mcv import sizes
from mcv.document import schema
from mcv.document.generation import Value
from mcv.document.hardware import WORD, Cpu, Firmware, Video, Watchdog
from mcv.document.labels import MOST_DESCRIPTION, MOST_TAGS, Description, Tag
from mcv.document.model import Cluster, Vm
from mcv.document.property_changes import LIMITS
from mcv.errors import Refused
from mcv.vm import hardware_choice
from mcv.vm.disk_set import MOST_BANDWIDTH, MOST_IOPS
from mcv.vm.validation import MOST_CPUS

T = TypeVar("T")

BASELINE = "baseline"  # the processor that all members can be
NONE, DEFAULT = "none", "default"
MOST_LIMIT = 100 * MOST_CPUS  # percent of one CPU
ZONES = Path("/usr/share/zoneinfo")
# Those that QEMU has, the same since many versions.
KEYMAPS = (
    *("ar", "bepo", "cz", "da", "de", "de-ch", "en-gb", "en-us", "es", "et", "fi", "fo", "fr"),
    *("fr-be", "fr-ca", "fr-ch", "hr", "hu", "is", "it", "ja", "lt", "lv", "mk", "nl", "no"),
    *("pl", "pt", "pt-br", "ru", "sl", "sv", "th", "tr"),
)
WATCHDOGS = tuple(word for word in get_args(Watchdog) if word not in ("", NONE))
VIDEOS = tuple(word for word in get_args(Video) if word)


class PropertyRequest(Value, frozen=True, kw_only=True):
    """What is to change, as typed; None is what was not named."""

    cpu_model: str | None = None
    boot: list[str] | None = None
    firmware: str | None = None
    cpu_limit: str | None = None
    io_limit: str | None = None
    watchdog: str | None = None
    video: str | None = None
    keyboard: str | None = None
    clock: str | None = None
    protect: str | None = None
    description: str | None = None
    tags: list[str] | None = None


UNNAMED = PropertyRequest()
# What is no part of a domain's definition.
LABELS = ("protected", "description", "tags", "autostart", "start_order", "start_delay")


class Chosen(Struct, frozen=True, kw_only=True):
    """The values by the name that the document has for each, and what was changed in words."""

    values: dict[str, object] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)

    @property
    def is_of_domain(self) -> bool:
        """Whether the VM's definition changes."""
        return bool(self.values.keys() - {*LABELS})

    def set(self, key: str, value: object, words: str) -> None:
        self.values[key] = value
        self.words.append(words)

    def applied_to(self, vm: Vm) -> Vm:
        """The VM with the values, but for those of its disks."""
        own = {key: value for key, value in self.values.items() if key not in LIMITS}
        return msgspec.convert({**msgspec.to_builtins(vm), **own}, Vm)


class Judge:
    """Judges one request: values and words go to what is chosen, the rest to the problems."""

    def __init__(self, cluster: Cluster, vm: Vm, chosen: Chosen, problems: list[Refused]) -> None:
        self._cluster, self._vm, self._problems = cluster, vm, problems
        self._set = chosen.set

    def judge(self, asked: PropertyRequest) -> None:
        """Judge what was named, each by its own rule; what is wrong goes to the problems.

        A document of before schema 4 has no room for it.
        """
        if asked != UNNAMED and self._cluster.schema < 4:
            self._problems.append(schema.not_yet())
        self._one(asked.cpu_model, self._cpu_model)
        self._one(asked.boot, self._boot)
        self._one(asked.firmware, self._firmware)
        self._one(asked.cpu_limit, self._cpu_limit)
        self._one(asked.io_limit, self._io_limit)
        self._one(asked.watchdog, self._watchdog)
        self._one(asked.video, self._video)
        self._one(asked.keyboard, self._keyboard)
        self._one(asked.clock, self._clock)
        self._one(asked.protect, self._protect)
        self._one(asked.description, self._description)
        self._one(asked.tags, self._tags)

    def _one(self, named: T | None, rule: Callable[[T], None]) -> None:
        if named is None:
            return
        try:
            rule(named)
        except Refused as problem:
            self._problems.append(problem)

    def _cpu_model(self, model: str) -> None:
        if not re.fullmatch(WORD, model):
            raise Refused(f"--cpu-model {model!r} makes no sense.")
        baseline = self._cluster.cpu_baseline
        if model == BASELINE and baseline is None:
            raise Refused("The cluster has no processor for all.", "mcv cluster cpu-baseline --set")
        cpu = baseline if model == BASELINE else Cpu(model=model)
        self._set("cpu", msgspec.to_builtins(cpu), f"processor {cpu.model if cpu else model}")

    def _boot(self, devices: list[str]) -> None:
        problems = hardware_choice.boot_problems(devices)
        if not devices:
            problems = [Refused("--boot names no device.", "It can be: disk, cd, net.")]
        self._problems += problems
        if not problems:
            self._set("boot", devices, f"boot order {', '.join(devices)}")

    def _firmware(self, firmware: str) -> None:
        _require_one("--firmware", firmware, get_args(Firmware))
        if firmware != self._vm.firmware:
            raise Refused(
                f"{self._vm.name} has the firmware {self._vm.firmware}, for which its disks were "
                "made: they do not start with another, and UEFI's variables are a disk of its own.",
                "Choose it for a new VM: mcv create NAME --firmware uefi",
            )
        self._set("firmware", firmware, f"firmware {firmware}")

    def _cpu_limit(self, text: str) -> None:
        number = "0" if text == NONE else text.removesuffix("%")
        if not re.fullmatch(r"[0-9]{1,9}", number) or int(number) > MOST_LIMIT:
            raise Refused(
                f"--cpu-limit {text} makes no sense.",
                f"It can be none, or 1 to {MOST_LIMIT}: percent of one CPU.",
            )
        limit = int(number)
        self._set("cpu_limit", limit, f"CPU limit {f'{limit} % of one CPU' if limit else NONE}")

    def _io_limit(self, text: str) -> None:
        for key, value in _io_limits(text).items():
            shown = f"{sizes.shown(value)}/s" if key == "bandwidth" else str(value)
            self._set(key, value, f"{key} {shown if value else 'without limit'} of each disk")

    def _watchdog(self, action: str) -> None:
        _require_one("--watchdog", action, (*WATCHDOGS, NONE))
        self._set("watchdog", "" if action == NONE else action, f"watchdog {action}")

    def _video(self, model: str) -> None:
        _require_one("--video", model, (*VIDEOS, DEFAULT))
        self._set("video", "" if model == DEFAULT else model, f"video {model}")

    def _keyboard(self, keymap: str) -> None:
        _require_one("--keyboard", keymap, (*KEYMAPS, DEFAULT))
        self._set("keyboard", "" if keymap == DEFAULT else keymap, f"keyboard {keymap}")

    def _clock(self, clock: str) -> None:
        is_zone = re.fullmatch(r"[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*", clock) is not None
        is_known = is_zone and (not ZONES.is_dir() or (ZONES / clock).is_file())
        if clock not in ("utc", "localtime") and not is_known:
            raise Refused(
                f"--clock {clock} makes no sense.",
                "It can be: utc, localtime, or a zone such as Europe/Berlin.",
            )
        self._set("clock", clock, f"clock {clock}")

    def _protect(self, word: str) -> None:
        _require_one("--protect", word, ("yes", "no"))
        words = "is protected" if word == "yes" else "is not protected"
        self._set("protected", word == "yes", words)

    def _description(self, text: str) -> None:
        if len(text) > MOST_DESCRIPTION:
            raise Refused(
                f"--description has {len(text)} characters.", f"It can have {MOST_DESCRIPTION}."
            )
        try:
            msgspec.convert(text, Description)
        except msgspec.ValidationError:
            raise Refused("--description has characters that cannot be printed.") from None
        self._set("description", text, "a description" if text else "no description")

    def _tags(self, asked: list[str]) -> None:
        tags = set(self._vm.tags)
        for word in (each for text in asked for each in text.split(",")):
            tag = word.removeprefix("+").removeprefix("-")
            if not is_tag(tag):
                self._problems.append(
                    Refused(
                        f"--tag {word!r} makes no sense.",
                        "A tag is a word of letters, digits and _.:/@=+- of at most 63; "
                        "-TAG takes it away.",
                    )
                )
            elif word.startswith("-"):
                tags.discard(tag)
            else:
                tags.add(tag)
        if len(tags) > MOST_TAGS:
            raise Refused(f"A VM can have {MOST_TAGS} tags, not {len(tags)}.")
        self._set("tags", sorted(tags), f"tags {', '.join(sorted(tags))}" if tags else "no tags")


def is_tag(word: str) -> bool:
    try:
        msgspec.convert(word, Tag)
    except msgspec.ValidationError:
        return False
    return True


def _require_one(option: str, word: str, choices: Iterable[str]) -> None:
    if word not in choices:
        raise Refused(f"{option} {word} makes no sense.", f"It can be: {', '.join(choices)}.")


def _io_limits(text: str) -> dict[str, int]:
    """The limits that are named: none, iops=N,bandwidth=SIZE, or N or SIZE alone."""
    if text == NONE:
        return {"iops": 0, "bandwidth": 0}
    found: dict[str, int] = {}
    for part in text.split(","):
        key, equals, value = part.strip().rpartition("=")
        if not equals:
            key = "iops" if value.isdecimal() else "bandwidth"
        value = "0" if value == NONE else value
        if key not in ("iops", "bandwidth") or key in found:
            raise Refused(f"--io-limit {text} makes no sense.", IO_LIMITS)
        most = MOST_IOPS if key == "iops" else MOST_BANDWIDTH
        number = int(value) if re.fullmatch(r"[0-9]{1,18}", value) else None
        if key == "bandwidth" and value != "0":
            number = sizes.parse(value.removesuffix("/s"), "bandwidth")
        if number is None or number > most:
            raise Refused(f"--io-limit {part.strip()} makes no sense.", IO_LIMITS)
        found[key] = number
    return found


IO_LIMITS = "It can be: none, iops=500, bandwidth=100MiB, or both with a comma."
