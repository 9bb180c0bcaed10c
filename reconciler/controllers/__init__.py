"""kube-controller-manager's loops, each a pure planner in a file (or folder) of its own.

A module exports its record as CONTROLLER, or as CONTROLLERS where one of Kubernetes' names covers several; one that
needs facts which only the installation knows exports `of(facts)`, which gives several, instead. `builtin` collects
them by folder; `enabled` picks some in the syntax of --controllers. Planners only decide; loop/driver.py performs.
"""

import importlib
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass, field

from reconciler.controllers import measures, signing
from reconciler.model import plan
from reconciler.model.schema import Schemas

NO_SCHEMAS = Schemas({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What planners cannot find in the API."""

    began: float = 0.0  # since when nodes could be heard, in seconds since the epoch; leases do not outlive the journal's process
    root_ca: str = ""  # PEM of the server's certificate authority, for kube-root-ca.crt
    volumes_folder: str = ""  # where nodes make the folders of local volumes; empty: they make none
    pod_range: str = ""  # what nodes without one get addresses for their pods from
    load_balancer_pool: tuple[str, ...] = ()  # addresses for Services of type LoadBalancer; none: they get none here
    certificates: signing.Office | None = None  # None: requests are neither approved nor signed
    schemas: Schemas = NO_SCHEMAS  # of the kinds; without them no template is hashed, and the types of policies are not checked
    autoscaling: measures.Memories = field(default_factory=dict)  # kept by whoever performs measures.Measure


def builtin(facts: Facts = Facts()) -> tuple[plan.Controller, ...]:
    """All controllers, ordered by name."""
    found: list[plan.Controller] = []
    for module in pkgutil.iter_modules(__path__):
        loaded = importlib.import_module(f"{__name__}.{module.name}")
        if hasattr(loaded, "CONTROLLER"):
            found.append(loaded.CONTROLLER)
        found.extend(getattr(loaded, "CONTROLLERS", ()))
        if hasattr(loaded, "of"):
            found.extend(loaded.of(facts))
    return tuple(sorted(found, key=lambda controller: controller.name))


def enabled(controllers: Iterable[plan.Controller], wanted: Iterable[str]) -> tuple[plan.Controller, ...]:
    """The controllers that --controllers asks for: `*` is all that are on by default, `name` one more, `-name` one less.

    What stands later does not matter, as with kube-controller-manager: a name beats `-name` beats `*`. Raises
    ValueError for a name that nobody has.
    """
    known = tuple(controllers)
    words = [word.strip() for word in wanted if word.strip()]
    names = {controller.name for controller in known} | {family(controller) for controller in known}
    for word in words:
        if word != "*" and word.removeprefix("-") not in names:
            raise ValueError(f'"{word.removeprefix("-")}" is no controller; there are {", ".join(sorted(names))}')
    return tuple(controller for controller in known if _is_enabled(controller, words))


def family(controller: plan.Controller) -> str:
    """Kubernetes' name for a loop that has several planners here, "NAME/part"."""
    return controller.name.partition("/")[0]


def _is_enabled(controller: plan.Controller, words: list[str]) -> bool:
    names = (controller.name, family(controller))
    if any(name in words for name in names):
        return True
    if any(f"-{name}" in words for name in names):
        return False
    return "*" in words and controller.enabled_by_default
