"""Deployment: moves pods from one template to the next through ReplicaSets.

Upstream: pkg/controller/deployment. One plan makes one step: find or make the ReplicaSet of the present template,
scale one side within both bounds, write the status. The next step is planned when that has had its effect.
`rollout.py` holds the step in the making, `revisions.py` the ReplicaSets' identity and history, `scaling.py` the
arithmetic of sizes, `progress.py` the status.
"""

from collections.abc import Iterable
from functools import partial

from reconciler.controllers import Facts, claims
from reconciler.controllers.deployment import progress, revisions, scaling
from reconciler.controllers.deployment.rollout import DEPLOYMENTS, SETS, Rollout
from reconciler.controllers.templates import Templates
from reconciler.kinds import deployment, pod
from reconciler.model import meta, plan
from reconciler.model.view import OWNER, View


def planned(templates: Templates, view: View, key: meta.Key, now: float) -> plan.Plan:
    wanted = view.get(DEPLOYMENTS, *key)
    if wanted is None:
        return plan.NOTHING
    claimed = claims.claim(view, wanted, SETS, deployment.selector(wanted))
    rollout = Rollout(templates, wanted, list(claimed.owned), now)
    if meta.is_deleting(wanted):
        rollout.status = progress.counted(rollout)
    else:
        _step(view, rollout)
    return rollout.planned(claimed.actions)


def _step(view: View, rollout: Rollout) -> None:
    progress.note_pause(rollout)
    revisions.find_new(rollout)
    if deployment.is_paused(rollout.deployment) or scaling.was_resized(rollout):
        revisions.adjust_new(rollout)
        scaling.resize(rollout)
        if deployment.is_paused(rollout.deployment):
            revisions.clean_up(rollout)
        rollout.status = progress.counted(rollout)
        rollout.waiting += progress.waiting(rollout, rollout.status)
        return
    if deployment.strategy(rollout.deployment) == "Recreate":
        _recreate(view, rollout)
    else:
        _roll(rollout)
    rollout.status = progress.judged(rollout)
    rollout.waiting += progress.waiting(rollout, rollout.status)


def _roll(rollout: Rollout) -> None:
    revisions.adjust_or_make_new(rollout)
    if scaling.grow_new(rollout) or scaling.shrink_old(rollout):
        return
    if progress.is_complete(rollout, meta.status(rollout.original)):
        revisions.clean_up(rollout)


def _recreate(view: View, rollout: Rollout) -> None:
    revisions.adjust_new(rollout)
    if scaling.empty_old(rollout):
        return
    if _old_pods_remain(view, rollout):
        rollout.waiting.append(plan.Waiting(f"the old pods of Deployment {meta.name(rollout.deployment)} to end"))
        return
    revisions.adjust_or_make_new(rollout)
    scaling.fill_new(rollout)
    if progress.is_complete(rollout, meta.status(rollout.original)):
        revisions.clean_up(rollout)


def _old_pods_remain(view: View, rollout: Rollout) -> bool:
    if any(meta.status(old).get("replicas") for old in rollout.old):
        return True
    return any(not pod.is_terminal(one) for old in rollout.old for one in view.by("pods", OWNER, meta.uid(old)))


def _of_gone_pod(view: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    """Recreate goes on when an old pod has ended."""
    if old is None or (new is not None and not pod.is_terminal(new)):
        return
    owner = meta.controller(old)
    if owner is None or owner.get("kind") != "ReplicaSet":
        return
    replica_set = view.get(SETS, meta.namespace(old), str(owner["name"]))
    reference = meta.controller(replica_set) if replica_set is not None else None
    if reference is None or reference.get("kind") != "Deployment":
        return
    found = view.get(DEPLOYMENTS, meta.namespace(old), str(reference["name"]))
    if found is not None and deployment.strategy(found) == "Recreate":
        yield meta.key(found)


def of(facts: Facts) -> tuple[plan.Controller, ...]:
    return (
        plan.Controller(
            name="deployment-controller",
            kind=DEPLOYMENTS,
            plan=partial(planned, Templates(facts.schemas)),
            is_causal=True,
            follows={SETS: claims.follow(DEPLOYMENTS, "Deployment", deployment.selector), "pods": _of_gone_pod},
        ),
    )
