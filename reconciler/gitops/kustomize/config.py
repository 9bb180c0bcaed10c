"""Which fields kustomize's transformers look at, where a file of `configurations` does not add to them."""

from collections.abc import Iterable, Iterator, Mapping

from reconciler.gitops.kustomize.spec import Configuration, FieldSpec, Reference

_TEMPLATES: Mapping[str, str] = {
    "Pod": "spec",
    "PodTemplate": "template/spec",
    "Deployment": "spec/template/spec",
    "ReplicaSet": "spec/template/spec",
    "DaemonSet": "spec/template/spec",
    "StatefulSet": "spec/template/spec",
    "ReplicationController": "spec/template/spec",
    "Job": "spec/template/spec",
    "CronJob": "spec/jobTemplate/spec/template/spec",
}
_WITH_CONFIGURATION = tuple(kind for kind in _TEMPLATES if kind != "ReplicationController")
_WITH_ACCOUNT = ("Pod", "StatefulSet", "Deployment", "ReplicationController", "CronJob", "Job", "DaemonSet")
_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
_NETWORK = "networking.k8s.io"
_NGINX = "metadata/annotations/nginx.ingress.kubernetes.io\\/"


def _in_pods(kinds: Iterable[str], *paths: str) -> Iterator[FieldSpec]:
    for kind in kinds:
        version = "v1" if kind == "Pod" else ""
        yield from (FieldSpec(path=f"{_TEMPLATES[kind]}/{path}", version=version, kind=kind) for path in paths)


def _in(path: str, *kinds: str, group: str = "") -> Iterator[FieldSpec]:
    yield from (FieldSpec(path=path, kind=kind, group=group) for kind in kinds)


def _from_containers(source: str) -> Iterator[str]:
    for containers in ("containers", "initContainers"):
        yield f"{containers}/env/valueFrom/{source}KeyRef/name"
        yield f"{containers}/envFrom/{source}Ref/name"


_SCALED = tuple(
    Reference(kind=kind, field_specs=tuple(_in("spec/scaleTargetRef/name", "HorizontalPodAutoscaler")))
    for kind in ("Deployment", "ReplicationController", "ReplicaSet", "StatefulSet")
)
_CONFIG_MAPS = Reference(
    kind="ConfigMap",
    version="v1",
    field_specs=(
        *_in_pods(
            _WITH_CONFIGURATION, "volumes/configMap/name", *_from_containers("configMap"), "volumes/projected/sources/configMap/name"
        ),
        *_in("spec/configSource/configMap", "Node"),
        *_in("rules/resourceNames", "Role", "ClusterRole"),
        *_in(f"{_NGINX}fastcgi-params-configmap", "Ingress"),
    ),
)
_SECRETS = Reference(
    kind="Secret",
    version="v1",
    field_specs=(
        *_in_pods(
            _WITH_CONFIGURATION,
            "volumes/secret/secretName",
            *_from_containers("secret"),
            "imagePullSecrets/name",
            "volumes/projected/sources/secret/name",
        ),
        *_in("spec/tls/secretName", "Ingress"),
        *_in("metadata/annotations/ingress.kubernetes.io\\/auth-secret", "Ingress"),
        *_in(f"{_NGINX}auth-secret", "Ingress"),
        *_in(f"{_NGINX}auth-tls-secret", "Ingress"),
        *_in("imagePullSecrets/name", "ServiceAccount"),
        *(
            FieldSpec(path=f"parameters/{name}", kind="StorageClass")
            for name in ("secretName", "adminSecretName", "userSecretName", "secretRef")
        ),
        *_in("rules/resourceNames", "Role", "ClusterRole"),
        FieldSpec(
            path="spec/template/spec/containers/env/valueFrom/secretKeyRef/name", kind="Service", group="serving.knative.dev", version="v1"
        ),
        *_in("spec/azureFile/secretName", "PersistentVolume"),
    ),
)
_SERVICES = Reference(
    kind="Service",
    version="v1",
    field_specs=(
        *_in("spec/serviceName", "StatefulSet", group="apps"),
        *_in("spec/rules/http/paths/backend/serviceName", "Ingress"),
        *_in("spec/backend/serviceName", "Ingress"),
        *_in("spec/rules/http/paths/backend/service/name", "Ingress"),
        *_in("spec/defaultBackend/service/name", "Ingress"),
        *_in("spec/service/name", "APIService", group="apiregistration.k8s.io"),
        *_in("webhooks/clientConfig/service", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", group=_ADMISSION),
    ),
)
_OTHERS = (
    Reference(kind="Role", group=_RBAC, field_specs=tuple(_in("roleRef/name", "RoleBinding", group=_RBAC))),
    Reference(kind="ClusterRole", group=_RBAC, field_specs=tuple(_in("roleRef/name", "RoleBinding", "ClusterRoleBinding", group=_RBAC))),
    Reference(
        kind="ServiceAccount",
        version="v1",
        field_specs=(*_in("subjects", "RoleBinding", "ClusterRoleBinding", group=_RBAC), *_in_pods(_WITH_ACCOUNT, "serviceAccountName")),
    ),
    Reference(
        kind="PersistentVolumeClaim", version="v1", field_specs=tuple(_in_pods(_WITH_ACCOUNT, "volumes/persistentVolumeClaim/claimName"))
    ),
    Reference(
        kind="PersistentVolume",
        version="v1",
        field_specs=(*_in("spec/volumeName", "PersistentVolumeClaim"), *_in("rules/resourceNames", "ClusterRole")),
    ),
    Reference(
        kind="StorageClass",
        version="v1",
        group="storage.k8s.io",
        field_specs=(
            *_in("spec/storageClassName", "PersistentVolume", "PersistentVolumeClaim"),
            *_in("spec/volumeClaimTemplates/spec/storageClassName", "StatefulSet"),
        ),
    ),
    Reference(
        kind="PriorityClass", version="v1", group="scheduling.k8s.io", field_specs=tuple(_in_pods(_WITH_ACCOUNT, "priorityClassName"))
    ),
    Reference(
        kind="ValidatingAdmissionPolicy",
        group=_ADMISSION,
        field_specs=tuple(_in("spec/policyName", "ValidatingAdmissionPolicyBinding", group=_ADMISSION)),
    ),
)


def _create(path: str, kind: str = "", group: str = "", version: str = "") -> FieldSpec:
    return FieldSpec(path=path, kind=kind, group=group, version=version, create=True)


def _on_templates(field: str, stateful_group: str) -> tuple[FieldSpec, ...]:
    """metadata.labels or metadata.annotations, of the object and of every template in it."""
    template = f"spec/template/metadata/{field}"
    return (
        _create(f"metadata/{field}"),
        _create(template, "ReplicationController", version="v1"),
        *(_create(template, kind) for kind in ("Deployment", "ReplicaSet", "DaemonSet")),
        _create(template, "StatefulSet", stateful_group),
        _create(template, "Job", "batch"),
        _create(f"spec/jobTemplate/metadata/{field}", "CronJob", "batch"),
        _create(f"spec/jobTemplate/spec/template/metadata/{field}", "CronJob", "batch"),
    )


def _affinity(kind: str) -> Iterator[FieldSpec]:
    """Selectors within a pod template, which must keep selecting the pods of the template."""
    pods = "spec/template/spec"
    preferred, required = (
        "preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm",
        "requiredDuringSchedulingIgnoredDuringExecution",
    )
    for side in ("podAffinity", "podAntiAffinity"):
        for terms in (preferred, required):
            yield FieldSpec(path=f"{pods}/affinity/{side}/{terms}/labelSelector/matchLabels", group="apps", kind=kind)
    yield FieldSpec(path=f"{pods}/topologySpreadConstraints/labelSelector/matchLabels", group="apps", kind=kind)


_SELECTORS = (
    *(_create("spec/selector", kind, version="v1") for kind in ("Service", "ReplicationController")),
    *(_create("spec/selector/matchLabels", kind) for kind in ("Deployment", "ReplicaSet", "DaemonSet")),
    _create("spec/selector/matchLabels", "StatefulSet", "apps"),
    *_affinity("Deployment"),
    *_affinity("StatefulSet"),
    FieldSpec(path="spec/selector/matchLabels", group="batch", kind="Job"),
    FieldSpec(path="spec/jobTemplate/spec/selector/matchLabels", group="batch", kind="CronJob"),
    FieldSpec(path="spec/selector/matchLabels", group="policy", kind="PodDisruptionBudget"),
    *_in("spec/podSelector/matchLabels", "NetworkPolicy", group=_NETWORK),
    *_in("spec/ingress/from/podSelector/matchLabels", "NetworkPolicy", group=_NETWORK),
    *_in("spec/egress/to/podSelector/matchLabels", "NetworkPolicy", group=_NETWORK),
)

_CLAIM_LABELS = _create("spec/volumeClaimTemplates[]/metadata/labels", "StatefulSet", "apps")

BUILTIN = Configuration(
    name_reference=(*_SCALED, _CONFIG_MAPS, _SECRETS, _SERVICES, *_OTHERS),
    name_prefix=(FieldSpec(path="metadata/name"),),
    name_suffix=(FieldSpec(path="metadata/name"),),
    namespace=(
        FieldSpec(path="metadata/name", kind="Namespace", version="v1", create=True),
        _create("spec/service/namespace", "APIService", "apiregistration.k8s.io"),
        FieldSpec(
            path="spec/conversion/webhook/clientConfig/service/namespace", kind="CustomResourceDefinition", group="apiextensions.k8s.io"
        ),
    ),
    common_labels=(
        *_on_templates("labels", "apps"),
        *_SELECTORS,
        _CLAIM_LABELS,
    ),
    template_labels=(*_on_templates("labels", "apps"), _CLAIM_LABELS),
    common_annotations=_on_templates("annotations", ""),
    images=tuple(
        _create(f"{pods}/{containers}[]/image")
        for pods in ("spec", "spec/template/spec")
        for containers in ("containers", "initContainers")
    ),
    replicas=tuple(_create("spec/replicas", kind) for kind in ("Deployment", "ReplicationController", "ReplicaSet", "StatefulSet")),
)
