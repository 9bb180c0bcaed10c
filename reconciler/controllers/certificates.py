"""CertificateSigningRequests: kubelets' client certificates are approved, what was approved is signed, old ones go.

Upstream: pkg/controller/certificates. Signers are those of kube-controller-manager but legacy-unknown, which says
nothing about what it signs for.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.controllers import Facts
from reconciler.controllers.signing import Asked, Office, Sign
from reconciler.kinds import certificatesigningrequest as requests
from reconciler.kit import clock as clocks
from reconciler.model import conditions, meta, plan
from reconciler.model.view import View

REQUESTS = "certificatesigningrequests.certificates.k8s.io"
CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
CLIENT_USAGES = ("client auth", "digital signature", "key encipherment")
SERVING_USAGES = ("digital signature", "key encipherment", "server auth")
OPTIONAL_USAGE = "key encipherment"  # keys that are not RSA have no use for it
SIGNED_SECONDS = 365 * 24 * 3600  # --cluster-signing-duration
LEAST_SECONDS = 600
DONE_SECONDS = 3600.0  # how long a request that came to an end is kept
PENDING_SECONDS = 24 * 3600.0
SELF, ANY = "selfnodeclient", "nodeclient"
APPROVED = {
    SELF: "Auto approving self kubelet client certificate after SubjectAccessReview.",
    ANY: "Auto approving kubelet client certificate after SubjectAccessReview.",
}


def of(facts: Facts) -> tuple[plan.Controller, ...]:
    office = facts.certificates

    def approval_planned(view: View, key: meta.Key, now: float) -> plan.Plan:
        request = view.get(REQUESTS, *key)
        return plan.NOTHING if request is None or office is None else _approved(request, office, now)

    def signing_planned(view: View, key: meta.Key, now: float) -> plan.Plan:
        request = view.get(REQUESTS, *key)
        return plan.NOTHING if request is None or office is None or not office.signs else _signed(request, office, now)

    return (
        plan.Controller(name="certificatesigningrequest-approving-controller", kind=REQUESTS, plan=approval_planned),
        plan.Controller(name="certificatesigningrequest-signing-controller", kind=REQUESTS, plan=signing_planned),
        plan.Controller(name="certificatesigningrequest-cleaner-controller", kind=REQUESTS, plan=cleaning_planned),
    )


def _approved(request: meta.Obj, office: Office, now: float) -> plan.Plan:
    if requests.is_issued(request) or requests.conditions(request):
        return plan.NOTHING
    spec = meta.spec(request)
    asked = office.read(str(spec.get("request", "")))
    if asked is None or spec.get("signerName") != KUBELET_CLIENT or client_problem(asked, spec.get("usages") or ()):
        return plan.plan_of(waiting_on=[plan.Waiting(f"somebody to approve or deny {meta.name(request)}")])
    ways = [SELF] if spec.get("username") == asked.common_name else []
    for way in (*ways, ANY):
        if office.allows(spec, way):
            return plan.plan_of([_with(request, "approval", "Approved", "AutoApproved", APPROVED[way], now)])
    return plan.plan_of(waiting_on=[plan.Waiting(f"somebody to approve {meta.name(request)}: its sender may not create {ANY}")])


def _signed(request: meta.Obj, office: Office, now: float) -> plan.Plan:
    if requests.is_issued(request) or not requests.is_approved(request) or "Failed" in requests.conditions(request):
        return plan.NOTHING
    spec = meta.spec(request)
    check = {CLIENT: _user_problem, KUBELET_CLIENT: client_problem, KUBELET_SERVING: serving_problem}.get(str(spec.get("signerName")))
    if check is None:
        return plan.plan_of(waiting_on=[plan.Waiting(f"signer {spec.get('signerName')}, which is somebody else's")])
    usages: Sequence[str] = spec.get("usages") or ()
    asked = office.read(str(spec.get("request", "")))
    why = "the request cannot be read" if asked is None else check(asked, usages)
    if why:
        return plan.plan_of([_with(request, "status", "Failed", "SignerValidationFailure", why, now)])
    seconds = min(int(spec.get("expirationSeconds") or SIGNED_SECONDS), SIGNED_SECONDS)
    name, uid = meta.name(request), meta.uid(request)
    return plan.plan_of([Sign(name, uid, str(spec["request"]), tuple(usages), max(seconds, LEAST_SECONDS), "it was approved")])


def client_problem(asked: Asked, usages: Sequence[str]) -> str:
    """Why a kubelet may not get this client certificate; "" if it may."""
    if asked.organizations != ("system:nodes",):
        return "subject organization is not system:nodes"
    for found, name in ((asked.dns_names, "DNS"), (asked.ip_addresses, "IP"), (asked.emails, "email"), (asked.uris, "URI")):
        if found:
            return f"{name} subjectAltNames are not allowed"
    return _node_problem(asked, usages, CLIENT_USAGES)


def serving_problem(asked: Asked, usages: Sequence[str]) -> str:
    """Why a kubelet may not get this serving certificate; "" if it may."""
    if asked.organizations != ("system:nodes",):
        return "subject organization is not system:nodes"
    if not asked.dns_names and not asked.ip_addresses:
        return "DNS or IP subjectAltName is required"
    for found, name in ((asked.emails, "email"), (asked.uris, "URI")):
        if found:
            return f"{name} subjectAltNames are not allowed"
    return _node_problem(asked, usages, SERVING_USAGES)


def _node_problem(asked: Asked, usages: Sequence[str], wanted: Sequence[str]) -> str:
    if not asked.common_name.startswith("system:node:"):
        return "subject common name does not begin with system:node: "
    return "" if {*usages, OPTIONAL_USAGE} == set(wanted) else f"usages did not match [{' '.join(wanted)}]"


def _user_problem(_: Asked, usages: Sequence[str]) -> str:
    strange = next((usage for usage in usages if usage not in CLIENT_USAGES), None)
    if strange is not None:
        return f"invalid usage for client certificate: {strange}"
    return "" if "client auth" in usages else "missing required usage for client certificate: client auth"


def cleaning_planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    """Requests are kept for a time: an hour once they came to an end, a day while nobody looks at them."""
    request = view.get(REQUESTS, *key)
    if request is None or meta.is_deleting(request):
        return plan.NOTHING
    due = _due(request)
    if due is None or due > now:
        return plan.plan_of(again_at=due)
    delete = plan.Delete(kind=REQUESTS, namespace="", name=key[1], uid=meta.uid(request), why="nobody needs it any more")
    return plan.plan_of([delete])


def _due(request: meta.Obj) -> float | None:
    listed: Sequence[Mapping[str, Any]] = meta.status(request).get("conditions") or ()
    ends = {"Denied", "Failed", *(["Approved"] if requests.is_issued(request) else [])}
    times = [str(one.get("lastUpdateTime") or one.get("lastTransitionTime") or "") for one in listed if one["type"] in ends]
    known = [clocks.parse_rfc3339(time) + DONE_SECONDS for time in times if time]
    if known:
        return min(known)
    return None if listed else clocks.parse_rfc3339(str(meta.meta(request)["creationTimestamp"])) + PENDING_SECONDS


def _with(request: meta.Obj, subresource: str, type: str, reason: str, message: str, now: float) -> plan.Action:
    condition = conditions.made(type, "True", reason, message, now, lastUpdateTime=clocks.rfc3339(now))
    listed = meta.status(request).get("conditions") or ()
    body = meta.put(request, ("status", "conditions"), [*listed, condition])
    return plan.Update(kind=REQUESTS, body=body, subresource=subresource, why=message)
