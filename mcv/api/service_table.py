"""The part of the table about services: who may run what root runs, may do all."""

from mcv.api.operation import SERVICE, Operation, admin, question, service_owner, step
from mcv.service import create, fitting, power

MOVE = 600.0  # s that all parts of a service have together

OF_SERVICES: dict[str, Operation] = {
    "service.create": admin(create.create),
    "service.refresh": admin(create.refresh, SERVICE, to=service_owner),
    "service.delete": admin(create.delete, SERVICE, to=service_owner),
    "service.start": admin(power.start, SERVICE, to=service_owner),
    "service.stop": admin(power.stop, SERVICE, to=service_owner),
    "service.migrate": admin(power.migrate, SERVICE, to=service_owner),
    "service.begin": step(power.begin, MOVE, SERVICE),
    "service.finish": step(power.finish, MOVE, SERVICE),
    "service.fit": question(fitting.fit, timeout=fitting.LOOK),
    "service.look": question(power.look),
    "node.services": question(power.look_at_all),
}
