"""The rights that operations need, a line each: a new operation that has none here fails."""

from mcv.api.rights import RULES
from mcv.api.seen import SEEN
from mcv.api.table import TABLE

# What an operation is about: one VM or several; a VM, or all (a right over some VM suffices, and
# the answer is cut to what the person may see); the cluster; or a rule of its own.
LINES = """
cluster.info            view    some
cluster.check           view    cluster
cluster.fix             admin   cluster
cluster.facts           admin   cluster
cluster.host_key        admin   cluster
cluster.add_node        admin   cluster
cluster.remove_node     admin   cluster
cluster.stage_join      admin   cluster
cluster.unstage_join    admin   cluster
cluster.sync            admin   cluster
cluster.leave           admin   cluster
cluster.cpu_baseline    admin   cluster
cluster.store           view    cluster
cluster.store_etcd      admin   cluster
cluster.store_unanimous admin   cluster
cluster.store_lost      admin   cluster
cluster.store_refresh   admin   cluster
cluster.witness_remove  admin   cluster
cluster.witness_key     admin   cluster
fence.devices           admin   cluster
fence.add_device        admin   cluster
fence.set_device        admin   cluster
fence.remove_device     admin   cluster
fence.set               admin   cluster
fence.unset             admin   cluster
fence.status            admin   cluster
fence.test              admin   cluster
fence.trial             admin   cluster
fence.off               admin   cluster
fence.on                admin   cluster
ha.drill                admin   cluster
ha.add                  admin   vm
ha.arm                  admin   cluster
ha.change               admin   rule
ha.domain_create        admin   cluster
ha.domain_delete        admin   cluster
ha.domains              view    cluster
ha.explain              view    vm
ha.leave                admin   cluster
ha.list                 view    some
ha.remove               admin   vm
ha.tie                  admin   cluster
ha.ties                 view    cluster
ha.untie                admin   cluster
ha.what_if              view    cluster
service.create          admin   cluster
service.refresh         admin   cluster
service.delete          admin   cluster
service.start           admin   cluster
service.stop            admin   cluster
service.migrate         admin   cluster
ha.disarm               admin   cluster
ha.set                  admin   cluster
ha.settings             view    cluster
ha.status               view    cluster
node.offline            admin   cluster
node.online             admin   cluster
node.replace            admin   cluster
node.drain              admin   cluster
node.evacuate           admin   cluster
node.restore            admin   cluster
node.await_return       admin   cluster
node.power_off          admin   cluster
node.reboot             admin   cluster
node.wake               admin   cluster
node.last_seen          view    some
permission.add          admin   cluster
permission.remove       admin   cluster
permission.grant        admin   cluster
permission.revoke       admin   cluster
permission.list         view    some
permission.check        view    rule
config.show             view    cluster
config.history          view    cluster
config.diff             view    cluster
job.list                view    some
job.show                view    some
job.follow              view    rule
job.cancel              change  rule
repair                  admin   cluster
locks.list              view    some
locks.clear             admin   cluster
network.create          admin   cluster
network.delete          admin   cluster
network.list            view    some
pool.create             admin   cluster
pool.add_node           admin   cluster
pool.remove_node        admin   cluster
pool.delete             admin   cluster
pool.list               view    some
image.add               admin   cluster
image.sync              admin   cluster
image.drop_copy         admin   cluster
image.delete            admin   cluster
image.list              view    some
drbd.enable             admin   cluster
drbd.list               view    some
drbd.set                admin   cluster
event.list              view    some
top.show                view    some
cluster.reboot          admin   cluster
cluster.reboot_last     admin   cluster
network.set             admin   cluster
nic.list                view    vm
nic.add                 change  vm
nic.set                 change  vm
nic.remove              change  vm
node.set                admin   cluster
node.devices            view    cluster
device.add              admin   vm
device.remove           change  vm
device.list             view    vm
vm.overlay              admin   vm
vm.edit                 admin   vm
vm.console              console vm
vm.screen               console vm
line.ended              view    some
node.log                admin   cluster
vm.log                  view    vm
vm.exec                 console vm
vm.exec_state           console vm
vm.list                 view    some
vm.info                 view    vm
vm.take_image           change  some
vm.take_seed            change  some
vm.create               change  vm
vm.start                power   vm
vm.stop                 power   vm
vm.shutdown             power   vm
vm.reset                power   vm
vm.reboot               power   vm
vm.pause                power   vm
vm.resume               power   vm
vm.migrate              power   vm
vm.migrate_live         power   vm
vm.update               change  vm
vm.rename               change  vm
vm.delete               change  vm
vm.register             change  vm
vm.prospects            view    vm
vm.unregister           change  vm
vm.lock                 change  vm
vm.unlock               change  vm
disk.list               view    vm
disk.add                change  vm
disk.remove             change  vm
disk.grow               change  vm
disk.set                change  vm
disk.move               change  vm
drbd.verify             change  vm
drbd.resync             change  vm
drbd.resolve            change  vm
drbd.prospects          view    vm
"""


def expected() -> dict[str, tuple[str, str]]:
    rows = [line.split() for line in LINES.strip().splitlines()]
    assert len({row[0] for row in rows}) == len(rows)
    return {operation: (right, about) for operation, right, about in rows}


def about(operation: str) -> str:
    if operation in RULES:
        return "rule"
    subject = TABLE[operation].subject
    if subject is not None and subject.kind == "vm":
        return "vm"
    return "some" if operation in SEEN else "cluster"


def test_every_operation_of_operators_has_its_line() -> None:
    rows = {name: row for name, row in TABLE.items() if "operator" in row.who}
    lines = expected()

    assert {name: (str(row.right), about(name)) for name, row in rows.items()} == {
        name: lines.get(name, "a line of its own is missing") for name in rows
    }


def test_only_operations_of_operators_have_a_rule_or_an_answer_that_is_cut() -> None:
    assert {name for name in [*SEEN, *RULES] if name in TABLE} <= set(expected())
