"""`mcv list --inventory`: the VMs as Ansible's inventory plugin for scripts reads them."""

from mcv.commands.inventory import group, inventory
from tests.commands.conftest import FakeDaemon, Speak, a_vm


def test_each_vm_is_a_host_in_groups_by_tag_node_and_state() -> None:
    seen = inventory(
        [
            a_vm("web1", tags=["prod", "front-end"]),
            a_vm("web2", tags=["prod"], node="n2", state="stopped"),
        ]
    )

    assert seen["all"] == {
        "hosts": ["web1", "web2"],
        "children": [
            *("node_n1", "node_n2", "state_running", "state_stopped"),
            *("tag_front_end", "tag_prod"),
        ],
    }
    assert seen["tag_prod"] == {"hosts": ["web1", "web2"]}
    assert seen["tag_front_end"] == seen["node_n1"] == seen["state_running"] == {"hosts": ["web1"]}
    assert seen["_meta"]["hostvars"]["web2"]["mcv_state"] == "stopped"  # type: ignore[index]


def test_without_a_vm_it_is_an_inventory_all_the_same() -> None:
    assert inventory([]) == {"_meta": {"hostvars": {}}, "all": {"hosts": [], "children": []}}


def test_a_group_has_a_name_that_ansible_takes() -> None:
    assert group("tag", "front-end") == "tag_front_end"
    assert group("tag", "ü b") == "tag___b"


def test_it_is_json_with_json_or_without_and_takes_the_filters(
    mcv: Speak, daemon: FakeDaemon
) -> None:
    daemon.answers["vm.list"] = [a_vm("web1")]

    heard, scripted = mcv("list --inventory --node n1"), mcv("list --inventory --json")

    assert heard.json == scripted.json
    assert list(heard.json["_meta"]["hostvars"]) == ["web1"]
    assert daemon.asked("vm.list")[0] == {"node": "n1"}
