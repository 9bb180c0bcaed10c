"""The roles and bindings that every cluster has, after Kubernetes' bootstrap policy; data only.

Kubernetes' controllers are not here: ours act inside the server. What a user, a node, a scheduler or an add-on is
usually bound to is.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.model import meta

GROUP = "rbac.authorization.k8s.io"
AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
READ = "get list watch"
WRITE = "create delete deletecollection patch update"
WORKLOADS = "daemonsets deployments deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale"
DISCOVERY = "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/"
PUBLIC = "/healthz /livez /readyz /version /version/"
MONITORING = "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*"

Rule = Mapping[str, Any]


def rule(verbs: str, groups: str, resources: str, names: str = "") -> Rule:
    """Words, separated by spaces; the core group is written `core`."""
    made = {"verbs": verbs.split(), "apiGroups": ["" if group == "core" else group for group in groups.split()]}
    return {**made, "resources": resources.split(), **({"resourceNames": names.split()} if names else {})}


def path_rule(verbs: str, paths: str) -> Rule:
    return {"verbs": verbs.split(), "nonResourceURLs": paths.split()}


def _aggregated(view: str) -> str:
    return f"{GROUP}/aggregate-to-{view}"


EVENTS = rule("create patch update", "core events.k8s.io", "events")
REVIEWS = (rule("create", "authentication.k8s.io", "tokenreviews"), rule("create", "authorization.k8s.io", "subjectaccessreviews"))

TO_ADMIN = (
    rule("create", "authorization.k8s.io", "localsubjectaccessreviews"),
    rule(f"{WRITE} {READ}", GROUP, "rolebindings roles"),
)
TO_EDIT = (
    rule(READ, "core", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
    rule("impersonate", "core", "serviceaccounts"),
    rule(WRITE, "core", "pods pods/attach pods/exec pods/portforward pods/proxy"),
    rule("create", "core", "pods/eviction serviceaccounts/token"),
    rule(
        WRITE,
        "core",
        "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets serviceaccounts"
        " services services/proxy",
    ),
    rule(WRITE, "apps", f"{WORKLOADS} deployments/rollback"),
    rule(WRITE, "autoscaling", "horizontalpodautoscalers"),
    rule(WRITE, "batch", "cronjobs jobs"),
    rule(WRITE, "policy", "poddisruptionbudgets"),
    rule(WRITE, "networking.k8s.io", "ingresses networkpolicies"),
    rule(f"{WRITE} {READ}", "coordination.k8s.io", "leases"),
    rule(WRITE, "resource.k8s.io", "resourceclaims resourceclaimtemplates"),
)
TO_VIEW = (
    rule(
        READ,
        "core",
        "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers"
        " replicationcontrollers/scale serviceaccounts services services/status",
    ),
    rule(
        READ,
        "core",
        "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status resourcequotas"
        " resourcequotas/status",
    ),
    rule(READ, "core", "namespaces"),
    rule(READ, "discovery.k8s.io", "endpointslices"),
    rule(READ, "apps", f"controllerrevisions {WORKLOADS} daemonsets/status deployments/status replicasets/status statefulsets/status"),
    rule(READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
    rule(READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
    rule(READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
    rule(READ, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
    rule(READ, "resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates"),
)
NODE = (
    *REVIEWS,
    rule("create", "authorization.k8s.io", "localsubjectaccessreviews"),
    rule(READ, "core", "services"),
    rule(f"create {READ}", "core", "nodes"),
    rule("patch update", "core", "nodes nodes/status"),
    EVENTS,
    rule(READ, "core", "pods"),
    rule("create delete", "core", "pods"),
    rule("patch update", "core", "pods/status"),
    rule("create", "core", "pods/eviction serviceaccounts/token"),
    rule(READ, "core", "configmaps secrets"),
    rule("get", "core", "endpoints persistentvolumeclaims persistentvolumes"),
    rule(f"create {READ}", "certificates.k8s.io", "certificatesigningrequests"),
    rule("create delete get patch update", "coordination.k8s.io", "leases"),
    rule("get", "storage.k8s.io", "volumeattachments"),
    rule("get patch update", "core", "persistentvolumeclaims/status"),
    rule(READ, "storage.k8s.io", "csidrivers"),
    rule("create delete get patch update", "storage.k8s.io", "csinodes"),
    rule(READ, "node.k8s.io", "runtimeclasses"),
    rule("get", "resource.k8s.io", "resourceclaims"),
    rule("deletecollection", "resource.k8s.io", "resourceslices"),
)
SCHEDULER = (
    EVENTS,
    rule("create", "coordination.k8s.io", "leases"),
    rule("get update", "coordination.k8s.io", "leases", "kube-scheduler"),
    rule(READ, "core", "nodes replicationcontrollers services persistentvolumeclaims persistentvolumes namespaces"),
    rule(f"delete {READ}", "core", "pods"),
    rule("create", "core", "bindings pods/binding"),
    rule("patch update", "core", "pods/status"),
    rule(READ, "apps", "replicasets statefulsets"),
    rule(READ, "policy", "poddisruptionbudgets"),
    rule(READ, "storage.k8s.io", "csinodes csidrivers csistoragecapacities storageclasses volumeattachments"),
    rule(READ, "resource.k8s.io", "deviceclasses resourceclaims resourceslices"),
    rule("patch update", "resource.k8s.io", "resourceclaims resourceclaims/status"),
    *REVIEWS,
)
CONTROLLER_MANAGER = (
    EVENTS,
    rule("create", "coordination.k8s.io", "leases"),
    rule("get update", "coordination.k8s.io", "leases", "kube-controller-manager"),
    rule("create get update", "core", "secrets serviceaccounts"),
    rule("delete", "core", "secrets"),
    rule("get", "core", "configmaps namespaces"),
    *REVIEWS,
    rule("list watch", "*", "*"),
    rule("create", "core", "serviceaccounts/token"),
)
VOLUMES = (
    rule(READ, "core", "persistentvolumes"),
    rule(READ, "storage.k8s.io", "storageclasses"),
    rule("get list patch update watch", "core", "persistentvolumeclaims"),
)


def _signer(name: str, verb: str = "approve") -> tuple[Rule, ...]:
    return (rule(verb, "certificates.k8s.io", "signers", f"kubernetes.io/{name}"),)


def _signing_request(subresource: str) -> tuple[Rule, ...]:
    return (rule("create", "certificates.k8s.io", f"certificatesigningrequests/{subresource}"),)


RULES: Mapping[str, Sequence[Rule]] = {
    "cluster-admin": (rule("*", "*", "*"), path_rule("*", "*")),
    "system:auth-delegator": REVIEWS,
    "system:basic-user": (
        rule("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
        rule("create", "authentication.k8s.io", "selfsubjectreviews"),
    ),
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": _signing_request("nodeclient"),
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": _signing_request("selfnodeclient"),
    "system:certificates.k8s.io:kube-apiserver-client-approver": _signer("kube-apiserver-client"),
    "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver": _signer("kube-apiserver-client-kubelet"),
    "system:certificates.k8s.io:kubelet-serving-approver": _signer("kubelet-serving"),
    "system:certificates.k8s.io:legacy-unknown-approver": _signer("legacy-unknown"),
    "system:discovery": (path_rule("get", DISCOVERY),),
    "system:kube-aggregator": (rule(READ, "core", "endpoints services"),),
    "system:kube-controller-manager": CONTROLLER_MANAGER,
    "system:kube-dns": (rule("list watch", "core", "endpoints services"),),
    "system:kube-scheduler": SCHEDULER,
    "system:kubelet-api-admin": (
        rule(READ, "core", "nodes"),
        rule("proxy", "core", "nodes"),
        rule("*", "core", "nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy nodes/spec nodes/stats"),
    ),
    "system:monitoring": (path_rule("get", MONITORING),),
    "system:node": NODE,
    "system:node-bootstrapper": (rule(f"create {READ}", "certificates.k8s.io", "certificatesigningrequests"),),
    "system:node-problem-detector": (rule("get", "core", "nodes"), rule("patch", "core", "nodes/status"), EVENTS),
    "system:node-proxier": (
        rule("list watch", "core", "endpoints services"),
        rule(READ, "core", "nodes"),
        EVENTS,
        rule("list watch", "discovery.k8s.io", "endpointslices"),
        rule("list watch", "networking.k8s.io", "servicecidrs"),
    ),
    "system:persistent-volume-provisioner": (
        rule(f"create delete {READ}", "core", "persistentvolumes"),
        rule("get list update watch", "core", "persistentvolumeclaims"),
        rule(READ, "storage.k8s.io", "storageclasses"),
        rule("watch", "core", "events"),
        EVENTS,
    ),
    "system:public-info-viewer": (path_rule("get", PUBLIC),),
    "system:service-account-issuer-discovery": (
        path_rule("get", "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/"),
    ),
    "system:volume-scheduler": VOLUMES,
}
# Rules that are part of other roles: name -> (the role they go into, rules).
PARTS: Mapping[str, tuple[str, Sequence[Rule]]] = {
    "system:aggregate-to-admin": ("admin", TO_ADMIN),
    "system:aggregate-to-edit": ("edit", TO_EDIT),
    "system:aggregate-to-view": ("view", TO_VIEW),
}
# Roles made of others: name -> the role that they are themselves part of.
AGGREGATES = {"admin": "", "edit": "admin", "view": "edit"}
USERS_BINDINGS = {
    "system:kube-controller-manager": "system:kube-controller-manager",
    "system:kube-scheduler": "system:kube-scheduler",
    "system:node-proxier": "system:kube-proxy",
    "system:volume-scheduler": "system:kube-scheduler",
}
GROUPS_BINDINGS = {
    "cluster-admin": ("system:masters",),
    "system:basic-user": ("system:authenticated",),
    "system:discovery": ("system:authenticated",),
    "system:monitoring": ("system:monitoring",),
    "system:public-info-viewer": ("system:authenticated", "system:unauthenticated"),
    "system:service-account-issuer-discovery": ("system:serviceaccounts",),
}
READER = "extension-apiserver-authentication-reader"


def _object(kind: str, name: str, namespace: str = "", **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "labels": {**LABELS, **labels}, "annotations": {AUTOUPDATE: "true"}}
    place = {"namespace": namespace} if namespace else {}
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": {**metadata, **place}}


def _binding(name: str, subjects: list[dict[str, str]], role: str, namespace: str = "") -> meta.Obj:
    reference = {"apiGroup": GROUP, "kind": "Role" if namespace else "ClusterRole", "name": role}
    kind = "RoleBinding" if namespace else "ClusterRoleBinding"
    return {**_object(kind, name, namespace), "subjects": subjects, "roleRef": reference}


def _subject(kind: str, name: str) -> dict[str, str]:
    return {"apiGroup": GROUP, "kind": kind, "name": name}


def objects() -> list[meta.Obj]:
    """Roles first, then bindings."""
    roles: list[meta.Obj] = [{**_object("ClusterRole", name), "rules": list(rules)} for name, rules in RULES.items()]
    for name, (target, rules) in PARTS.items():
        roles.append({**_object("ClusterRole", name, **{_aggregated(target): "true"}), "rules": list(rules)})
    for name, target in AGGREGATES.items():
        selector = {"clusterRoleSelectors": [{"matchLabels": {_aggregated(name): "true"}}]}
        labels = {_aggregated(target): "true"} if target else {}
        roles.append({**_object("ClusterRole", name, **labels), "aggregationRule": selector, "rules": None})
    authentication = rule(READ, "core", "configmaps", "extension-apiserver-authentication")
    roles.append({**_object("Role", READER, "kube-system"), "rules": [authentication]})
    bindings = [_binding(name, [_subject("User", user)], name) for name, user in USERS_BINDINGS.items()]
    account = {"kind": "ServiceAccount", "name": "kube-dns", "namespace": "kube-system"}
    bindings.append(_binding("system:kube-dns", [account], "system:kube-dns"))
    bindings += [_binding(name, [_subject("Group", group) for group in groups], name) for name, groups in GROUPS_BINDINGS.items()]
    readers = [_subject("User", name) for name in ("system:kube-controller-manager", "system:kube-scheduler")]
    return [*roles, *bindings, _binding(f"system::{READER}", readers, READER, "kube-system")]
