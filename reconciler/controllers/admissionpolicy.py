"""ValidatingAdmissionPolicies: that each generation was looked at.

Upstream: pkg/controller/validatingadmissionpolicystatus. An expression that does not compile was refused when the
policy was written; types of the fields that it names are not checked, so nothing is warned of.
"""

from reconciler.model import meta, plan
from reconciler.model.view import View

POLICIES = "validatingadmissionpolicies.admissionregistration.k8s.io"


def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    policy = view.get(POLICIES, *key)
    if policy is None or meta.is_deleting(policy) or meta.status(policy).get("observedGeneration") == meta.generation(policy):
        return plan.NOTHING
    status = {**meta.status(policy), "observedGeneration": meta.generation(policy), "typeChecking": {}}
    body = meta.put(policy, ("status",), status)
    return plan.plan_of([plan.Update(kind=POLICIES, body=body, subresource="status", why="its expressions compile")])


CONTROLLER = plan.Controller(name="validatingadmissionpolicy-status-controller", kind=POLICIES, plan=planned)
