"""Claims and volumes find each other, and volumes are reclaimed when their claims are gone.

Upstream: pkg/controller/volume/persistentvolume and .../expand. A claim's planner (claims.py) ties a volume to its claim
and writes the claim's status; a volume's planner (volumes.py) writes the volume's phase. Neither writes what the other
does, so each sees the other's part in the view and goes on from there. What to bind with the choice of a node is the
scheduler's. local.py makes volumes out of folders on a node.
"""

from reconciler.controllers import Facts
from reconciler.controllers.persistentvolume import claims, expansion, local, volumes
from reconciler.model import plan


def of(facts: Facts) -> tuple[plan.Controller, ...]:
    return (claims.CONTROLLER, volumes.CONTROLLER, expansion.CONTROLLER, *local.of(facts))
