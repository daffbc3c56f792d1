"""The cards of a VM: listed, added, changed, taken away, at once where it runs."""

from dataclasses import dataclass

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from mcv.document.model import Vm
from mcv.document.networks import MOST_VLAN, Nic
from mcv.document.schema import older_member
from mcv.document.subject import Subject
from mcv.document.vm_nics import macs_of
from mcv.drivers.domain_devices import Q35, chipset
from mcv.drivers.libvirt_nics import GuestAddress
from mcv.errors import Busy, McvError, NotFound, Refused, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.network import needs
from mcv.system.answers import ask_typed
from mcv.transaction.plan import Item, Step, change, on
from mcv.vm import changing, macs
from mcv.vm.validation import Problems

LOOK = 5.0  # s that the owner has to ask for a guest's addresses
MOST_NICS = 20
MODELS = ("virtio", "e1000", "e1000e", "rtl8139", "vmxnet3", "pcnet", "ne2k_pci")
CONVENTIONAL = ("e1000", "rtl8139", "pcnet", "ne2k_pci")  # no PCI Express: its ports take none


class NicRow(Struct, frozen=True, kw_only=True):
    """A card of a VM; `vlan` is the tag that its frames bear, 0 for none.

    `source` says where the addresses are from: agent, lease or arp; "" without any.
    """

    network: str
    mac: str
    model: str
    vlan: int
    link: str
    addresses: list[str]
    source: str


class NicChanged(Struct, frozen=True, kw_only=True):
    """A card that is new, changed or gone; `pending` is what counts from the next start on."""

    name: str
    mac: str
    network: str
    active: bool
    pending: list[str]


@dataclass(frozen=True)
class CardRequest:
    """What was named of a card, in the words that were typed; None is what was not."""

    network: str | None = None
    mac: str | None = None
    model: str | None = None
    vlan: int | None = None
    link: str | None = None


def list_(host: Host, name: str) -> list[NicRow]:
    """The cards of a VM in their order, with the addresses that its guest has."""
    vm = host.read().vm(name)
    return rows(host, vm, told_addresses(host, vm, LOOK))


def told_addresses(host: Host, vm: Vm, patience: float) -> dict[str, list[GuestAddress]]:
    """What the owner says of a guest's addresses; nothing where it does not answer in time."""
    shape = dict[str, list[GuestAddress]]
    answer = ask_typed(host.call, [vm.node], "vm.addresses", patience, shape, name=vm.name)[vm.node]
    return {} if isinstance(answer, McvError) else answer


def rows(host: Host, vm: Vm, addresses: dict[str, list[GuestAddress]]) -> list[NicRow]:
    """The cards of a VM, as a list shows them."""
    networks = host.read().networks
    found = []
    for nic in vm.nics:
        known = addresses.get(nic.mac.lower(), [])
        network = networks.get(nic.network)
        found.append(
            NicRow(
                network=nic.network,
                mac=nic.mac,
                model=nic.model or MODELS[0],
                vlan=nic.tag_in(network) if network else nic.vlan,
                link=nic.link,
                addresses=[each.address for each in known],
                source=known[0].source if known else "",
            )
        )
    return found


def add(
    host: Host,
    name: str,
    network: str,
    mac: str | None = None,
    model: str | None = None,
    vlan: int | None = None,
    link: str | None = None,
    dry_run: bool = False,
) -> NicChanged | DryRun:
    """Give a VM of this node another card; its guest, where it runs, has it at once.

    Raises Refused with every reason at once; Failed when it was begun and everything was undone.
    """
    request = CardRequest(network, mac, model, vlan, link)

    def prepare() -> Prepared[NicChanged]:
        problems = Problems()
        vm = _changeable(host, name, problems)
        if len(vm.nics) >= MOST_NICS:
            problems.add(f"{name} has {len(vm.nics)} cards already, and can have {MOST_NICS}.")
        new = _judged(host, vm, Nic(network=network, mac=""), request, problems)
        problems.found += _why_not_plugged(host, vm, new)
        problems.found += macs.why_taken(host, "", [new.mac] if new.mac else [])
        refuse_all(problems.found)
        if not new.mac:
            new = replace(new, mac=macs.unused(host))
        plan = _plan(vm, (*vm.nics, new))
        return Prepared(plan, _answer(host, vm, new, []))

    return host.operate(Subject.vm(name), f"add a card to {name}", prepare, dry_run)


def set_(
    host: Host,
    name: str,
    nic: str,
    network: str | None = None,
    model: str | None = None,
    vlan: int | None = None,
    link: str | None = None,
    dry_run: bool = False,
) -> NicChanged | DryRun:
    """Change a card of a VM: network, VLAN and link at once, the model from the next start on.

    `nic` is its MAC, or the name of a network in which the VM has no other card.
    """
    request = CardRequest(network, None, model, vlan, link)

    def prepare() -> Prepared[NicChanged]:
        problems = Problems()
        vm = _changeable(host, name, problems)
        old = _find(vm, nic)
        if (network, model, vlan, link) == (None,) * 4:
            problems.add("There is nothing to change.", "See: mcv nic set --help")
        new = _judged(host, vm, old, request, problems)
        refuse_all(problems.found)
        cards = tuple(new if card is old else card for card in vm.nics)
        pending = _pending(host, vm, old, new)
        return Prepared(_plan(vm, cards), _answer(host, vm, new, pending))

    return host.operate(Subject.vm(name), f"set a card of {name}", prepare, dry_run)


def remove(host: Host, name: str, nic: str, dry_run: bool = False) -> NicChanged | DryRun:
    """Take a card from a VM. A guest that does not let go keeps it until it stops: exit 4.

    Such a guest is asked again where the card is named by its MAC.
    """

    def prepare() -> Prepared[NicChanged]:
        problems = Problems()
        vm = _changeable(host, name, problems)
        old = _held(host, vm, nic) or _find(vm, nic)
        refuse_all(problems.found)
        cards = tuple(card for card in vm.nics if card is not old)
        # A guest that was asked to let go may do so at any time later: there is no way back.
        written = Step(change("vm.nics", name=name, nics=_plain(cards)), commits=True)
        gone = Step(on(vm.node, "nic.apply", name=name, nics=_plain(cards)), may_fail=True)
        plan: list[Item] = [written, Step(on(vm.node, "vm.define", name=name)), gone]
        return Prepared(plan, _answer(host, vm, old, []))

    return host.operate(Subject.vm(name), f"take a card from {name}", prepare, dry_run)


def _plan(vm: Vm, cards: tuple[Nic, ...]) -> list[Item]:
    """Write the cards down; then definition and domain follow, which commits the plan.

    The way back of the domain comes before that of the entry, so it is told which cards.
    """
    return [
        Step(
            change("vm.nics", name=vm.name, nics=_plain(cards)),
            undo=change("vm.nics", name=vm.name, nics=_plain(vm.nics)),
        ),
        Step(
            on(vm.node, "nic.apply", name=vm.name, nics=_plain(cards)),
            undo=on(vm.node, "nic.apply", name=vm.name, nics=_plain(vm.nics), may_stay=True),
            commits=True,
        ),
    ]


def _plain(cards: tuple[Nic, ...]) -> list[dict[str, str | int]]:
    found: list[dict[str, str | int]] = msgspec.to_builtins(cards)
    return list(found)


def _changeable(host: Host, name: str, problems: Problems) -> Vm:
    """The VM, whose cards this node may change; what an operator can mend goes to problems."""
    vm = changing.owned(host, name)
    if host.read().schema < 4:
        raise older_member("Cards cannot be changed")
    changing.note_lock(vm, problems)
    problems.found += changing.why_saved(host, vm)
    return vm


def _held(host: Host, vm: Vm, text: str) -> Nic | None:
    """The card of a MAC that was taken from the VM, and that its guest has not let go of."""
    mac = macs.plain(text)
    is_taken = mac not in macs_of(vm) and mac in host.domains.nics.macs(vm.name)
    return Nic(network="", mac=mac) if is_taken else None


def _find(vm: Vm, text: str) -> Nic:
    """The card of a MAC, or the only one in a network."""
    mac = macs.plain(text)
    found = [nic for nic in vm.nics if nic.mac.lower() == mac or nic.network == text]
    if not found:
        raise NotFound(f"{vm.name} has no card {text}.", f"See: mcv nic list {vm.name}")
    if len(found) > 1:
        cards = ", ".join(nic.mac for nic in found)
        raise Busy(f"{vm.name} has several cards in {text}.", f"Name one by its MAC: {cards}.")
    return found[0]


def _judged(host: Host, vm: Vm, card: Nic, request: CardRequest, problems: Problems) -> Nic:
    """The card as it will be; what is wrong with it goes to problems."""
    cluster = host.read()
    if request.mac is not None:
        try:
            card = replace(card, mac=macs.parse(request.mac))
        except Refused as problem:
            problems.found.append(problem)
    if request.model is not None and request.model not in MODELS:
        problems.add(f"There is no model {request.model}.", f"It can be: {', '.join(MODELS)}.")
    if request.vlan is not None and not 0 <= request.vlan <= MOST_VLAN:
        problems.add(f"--vlan {request.vlan} makes no sense.", f"It can be 0 to {MOST_VLAN}.")
    if request.link not in (None, "up", "down"):
        problems.add(f"--link {request.link} makes no sense.", "It can be: up, down.")
    network = cluster.networks.get(request.network or card.network)
    if network is None:
        problems.add(f"There is no network {request.network}.", "See: mcv network list")
        return card
    named = {"network": request.network, "vlan": request.vlan, "link": request.link}
    values = {key: value for key, value in named.items() if value is not None}
    if request.model in MODELS:
        values["model"] = "" if request.model == MODELS[0] else request.model
    new = replace(card, **values)
    if not 0 <= new.vlan <= MOST_VLAN:
        return new
    if network.nat and new.vlan:
        problems.add(f"{network.name} is a network by NAT: it has no VLANs.")
    problems.found += needs.why_not(host, [(network, new.tag_in(network))])
    return new


def _why_not_plugged(host: Host, vm: Vm, card: Nic) -> list[Refused]:
    """Why a card of this model cannot be plugged into a machine that runs."""
    is_express = chipset(vm.machine) == Q35
    if card.model not in CONVENTIONAL or not is_express or not host.domains.is_active(vm.name):
        return []
    return [
        Refused(
            f"{vm.name} runs, and its machine takes no other {card.model} until it stops.",
            f"Take virtio or e1000e, or stop it first: mcv shutdown {vm.name}",
        )
    ]


def _pending(host: Host, vm: Vm, old: Nic, new: Nic) -> list[str]:
    """What of a changed card counts from the next start on."""
    if not host.domains.is_active(vm.name):
        return []
    before, after = (host.read().network(nic.network).mtu for nic in (old, new))
    pending = [f"model {new.model or MODELS[0]}"] * (old.model != new.model)
    return pending + [f"MTU {after or 'of the bridge'}"] * (before != after)


def _answer(host: Host, vm: Vm, card: Nic, pending: list[str]) -> NicChanged:
    return NicChanged(
        name=vm.name,
        mac=card.mac,
        network=card.network,
        active=host.domains.is_active(vm.name),
        pending=pending,
    )
