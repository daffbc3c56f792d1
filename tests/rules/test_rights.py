"""Rights: by name and by group, over patterns of VMs, each with those before it."""

from itertools import product

import pytest

from mcv.document.rights import Grant, Permissions
from mcv.rules.rights import Person, Right, Rights


def grants(*lines: str) -> Permissions:
    """Permissions from lines such as "alice view web*"."""
    words = [(*line.split(), "")[:3] for line in lines]
    return Permissions(
        grants=tuple(Grant(who=who, right=Right(right).value, vm=vm) for who, right, vm in words)
    )


def person(text: str) -> Person:
    """A person from a text such as "alice in ops, staff"."""
    name, _, groups = text.partition(" in ")
    return Person(name=name, groups=tuple(groups.split(", ")) if groups else ())


@pytest.mark.parametrize(("held", "asked"), list(product(Right, Right)))
def test_each_right_includes_those_before_it(held: Right, asked: Right) -> None:
    rights = Rights(grants(f"alice {held} web*"), person("alice"))

    order = ["view", "power", "console", "change", "admin"]

    assert rights.on_vm(asked, "web1") is (order.index(held) >= order.index(asked))
    assert not rights.on_vm(asked, "db1") and not rights.on_all(asked)
    assert rights.anywhere(asked) is rights.on_vm(asked, "web1")


PATTERNS = [
    ("", "web1", True),
    ("web1", "web1", True),
    ("web1", "web10", False),
    ("web1", "my-web1", False),
    ("web*", "web", True),
    ("web?", "web10", False),
    ("db[12]", "db2", True),
    ("db[!12]", "db2", False),
    ("db[12]", "db3", False),
    ("[", "db3", False),
    ("*", "db3", True),
]


@pytest.mark.parametrize(("pattern", "vm", "fits"), PATTERNS)
def test_a_pattern_fits_whole_names(pattern: str, vm: str, fits: bool) -> None:
    rights = Rights(grants(f"alice power {pattern}"), person("alice"))

    assert rights.on_vm(Right.POWER, vm) is fits


def test_a_pattern_that_fits_all_vms_is_no_right_over_the_cluster() -> None:
    rights = Rights(grants("alice admin *"), person("alice"))

    assert rights.on_vm(Right.ADMIN, "web1") and not rights.on_all(Right.VIEW)
    assert not grants("alice admin *").has_admin and grants("%ops admin").has_admin


PEOPLE = [
    ("by name", "alice", True),
    ("another name", "alicia", False),
    ("another case", "Alice", False),
    ("by group", "bob in ops", True),
    ("by one of several groups", "bob in staff, ops", True),
    ("another group", "bob in staff", False),
    ("a user with the group's name", "ops", False),
    ("a name that reads as a group", "%ops", False),
    ("a group with the user's name", "bob in alice", False),
]


@pytest.mark.parametrize(("story", "who", "may"), PEOPLE)
def test_who_is_named(story: str, who: str, may: bool) -> None:
    rights = Rights(grants("alice power", "%ops power"), person(who))

    assert rights.on_all(Right.POWER) is may, story
    assert rights.anywhere(Right.VIEW) is may, story


def test_while_nobody_has_a_right_everybody_has_all() -> None:
    assert Rights(Permissions(), person("alice")).on_all(Right.ADMIN)
    for permissions in (grants("bob view web1"), Permissions(superusers=("bob",))):
        assert not Rights(permissions, person("alice")).anywhere(Right.VIEW)


def test_a_superuser_and_a_root_shell_are_admins() -> None:
    permissions = Permissions(superusers=("bob",))

    assert Rights(permissions, person("bob")).unlimited
    assert Rights(permissions, Person(name="alice", root_shell=True)).unlimited
    assert not Rights(permissions, person("alice")).unlimited
    assert permissions.has_admin


def test_what_gives_a_right_is_told() -> None:
    held = Rights(grants("%ops view", "bob change web*", "carol admin"), person("bob in ops")).held

    assert [(one.by, one.right, one.vm) for one in held] == [
        ("%ops", "view", ""),
        ("bob", "change", "web*"),
    ]
    assert Rights(Permissions(superusers=("bob",)), person("bob")).held[0].by == "bob, a superuser"
