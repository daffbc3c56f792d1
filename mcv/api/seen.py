"""What of an answer a person sees: rows of VMs that the person may view, and no other's name.

A sentence that names another VM, such as a refusal about an address in use, says "another VM".
"""

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from mcv.document.model import Cluster
from mcv.errors import McvError
from mcv.recovery.jobs import no_job
from mcv.rules.rights import Right, Rights

ANOTHER = "another VM"

Answer = Any  # as the wire carries it


class Sight:
    """What a person sees of the documents that this node knows; `typed` are names of the call."""

    def __init__(
        self, rights: Rights, documents: Iterable[Cluster], typed: Iterable[str] = ()
    ) -> None:
        self.rights = rights
        known = list(documents)
        names = {name for document in known for name in document.vms}
        self._public = {
            name
            for document in known
            for kind in (document.nodes, document.networks, document.pools, document.images)
            for name in kind
        }
        self.hidden = {name for name in names if not rights.sees(name)} - set(typed)
        # The longest first: a name that the person may see is not cut at a shorter one.
        words = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
        self._words = re.compile(rf"(?<![A-Za-z0-9])(?:{words or '(?!)'})(?![A-Za-z0-9])")

    @property
    def is_whole(self) -> bool:
        return self.rights.on_all(Right.VIEW)

    def sees_event(self, who: str, subject: str) -> bool:
        """Whether a person sees an event; of VMs that are gone by their names, too."""
        words = subject.split()
        public = all(word in self._public or self.rights.sees(word) for word in words)
        return who == self.rights.person.name or (bool(words) and public)

    def names_hidden(self, value: Answer) -> bool:
        """Whether a text anywhere in a value names a VM that the person may not see."""
        if isinstance(value, str):
            return any(word in self.hidden for word in self._words.findall(value))
        if isinstance(value, dict):
            return any(self.names_hidden(part) for pair in value.items() for part in pair)
        return isinstance(value, list | tuple) and any(map(self.names_hidden, value))

    def prose(self, value: Answer) -> Answer:
        """A value whose sentences name no VM that the person may not see; single words stay."""
        if isinstance(value, str):
            return self._words.sub(self._word, value) if " " in value else value
        if isinstance(value, dict):
            return {key: self.prose(part) for key, part in value.items()}
        return [self.prose(part) for part in value] if isinstance(value, list | tuple) else value

    def _word(self, found: re.Match[str]) -> str:
        return ANOTHER if found[0] in self.hidden else found[0]

    def error(self, error: McvError) -> McvError:
        """The error, naming no VM that the person may not see."""
        if self.is_whole or not self.names_hidden([error.message, error.hint, error.problems]):
            return error
        # Each error is rebuilt from these, as on the other side of the wire.
        return type(error)(
            self.prose(error.message), self.prose(error.hint), self.prose(error.problems)
        )


def sees_job(rights: Rights, who: str, vms: Iterable[str]) -> bool:
    """Whether a job is shown: to its author, and to whoever may see all that it is about."""
    named = list(vms)
    if who == rights.person.name or rights.on_all(Right.VIEW):
        return True
    return bool(named) and all(map(rights.sees, named))


# What is cut from the answer of each operation


def _same(sight: Sight, answer: Answer) -> Answer:
    """Nodes, networks and pools: without their names nobody can create a VM."""
    return answer


def _prose(sight: Sight, answer: Answer) -> Answer:
    return sight.prose(answer)


def _rows_of(key: str, sight: Sight, answer: Answer) -> Answer:
    return [sight.prose(row) for row in answer if sight.rights.sees(row[key])]


def _cluster(sight: Sight, answer: Answer) -> Answer:
    others = answer["verify"]["others"]
    return {
        **answer,
        "vms": answer["vms"] - len(sight.hidden),
        "verify": {
            **answer["verify"],
            "others": {vm: result for vm, result in others.items() if sight.rights.sees(vm)},
        },
        "attention": [line for line in answer["attention"] if not sight.names_hidden(line)],
        "nodes": sight.prose(answer["nodes"]),
    }


def _jobs(sight: Sight, answer: Answer) -> Answer:
    return [
        sight.prose(row)
        for row in answer
        if sees_job(sight.rights, row["who"], row.get("vms") or ())
    ]


def _job(sight: Sight, answer: Answer) -> Answer:
    if not sees_job(sight.rights, answer["who"], answer.get("vms") or ()):
        raise no_job(answer["id"])
    return sight.prose(answer)


def _followed(sight: Sight, answer: Answer) -> Answer:
    told = {
        key: sight.prose(answer[key]) for key in ("progress", "error", "stalled") if key in answer
    }
    return {**answer, **told}


def _locks(sight: Sight, answer: Answer) -> Answer:
    return {
        key: [row for row in rows if not sight.names_hidden(row)] for key, rows in answer.items()
    }


def _images(sight: Sight, answer: Answer) -> Answer:
    return [
        {**row, "used_by": [vm for vm in row["used_by"] if sight.rights.sees(vm)]} for row in answer
    ]


def _events(sight: Sight, answer: Answer) -> Answer:
    """Events of the person, and those about VMs that it sees, nodes, networks, pools, images."""
    return {
        **answer,
        "events": [
            sight.prose(each)
            for each in answer["events"]
            if sight.sees_event(each["who"], each["subject"])
        ],
    }


def _load(sight: Sight, answer: Answer) -> Answer:
    return {**answer, "vms": [row for row in answer["vms"] if sight.rights.sees(row["vm"])]}


def _grants(sight: Sight, answer: Answer) -> Answer:
    """The permissions of the person itself, for a person who may not see all."""
    person = sight.rights.person
    whose = {person.name, *(f"%{group}" for group in person.groups)}
    return {
        **answer,
        "superusers": [user for user in answer["superusers"] if user in whose],
        "grants": [grant for grant in answer["grants"] if grant["who"] in whose],
    }


# An operation that is about no VM and stands here needs its right on some VM, not on all.
SEEN: dict[str, Callable[[Sight, Answer], Answer]] = {
    "cluster.info": _cluster,
    "ha.list": partial(_rows_of, "name"),
    "node.last_seen": _same,
    "permission.list": _grants,
    "job.list": _jobs,
    "job.follow": _followed,
    "job.show": _job,
    "locks.list": _locks,
    "network.list": _same,
    "pool.list": _prose,
    "image.list": _images,
    "drbd.list": partial(_rows_of, "vm"),
    "event.list": _events,
    "top.show": _load,
    "line.ended": _prose,
    "vm.list": partial(_rows_of, "name"),
    "vm.info": _prose,
    "vm.log": _prose,
    "vm.prospects": _prose,
    "drbd.prospects": _prose,
    "vm.take_image": _same,
    "vm.take_seed": _same,
}


def seen(sight: Sight, operation: str, answer: Answer) -> Answer:
    """The answer to an operator's call, cut to what the person may see."""
    cut = SEEN.get(operation)
    return answer if cut is None or sight.is_whole else cut(sight, answer)
