"""What an object of each kind holds before anyone sets a field: the fields that Kubernetes' types always write.

They belong to nobody. A field set therefore names `f:spec` itself only where the type leaves an unset spec out, and a
field that is created with its zero value (a PriorityClass of value 0) has no owner. Custom resources have none of
this. Facts of k8s.io/api v0.36, by definition name; kinds that are absent here have metadata alone.
"""

from collections.abc import Mapping
from typing import Any

_METADATA: Mapping[str, Any] = {"metadata": {}}
_TEMPLATE: Mapping[str, Any] = {"metadata": {}, "spec": {"containers": None}}
_WORKLOAD: Mapping[str, Any] = {"selector": None, "template": _TEMPLATE}
_JOB: Mapping[str, Any] = {"template": _TEMPLATE}
_ROLE_REF: Mapping[str, Any] = {"apiGroup": "", "kind": "", "name": ""}
_SCALE_TARGET: Mapping[str, Any] = {"scaleTargetRef": {"kind": "", "name": ""}, "maxReplicas": 0}
_SPEC: Mapping[str, Any] = {"spec": {}}
_SPEC_STATUS: Mapping[str, Any] = {"spec": {}, "status": {}}
_NAMES: Mapping[str, Any] = {"plural": "", "kind": ""}
_NODE_INFO = ("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion", "kubeletVersion")

_API = "io.k8s.api."
_BEYOND_METADATA: Mapping[str, Mapping[str, Any]] = {
    _API + "admissionregistration.v1.MutatingAdmissionPolicy": _SPEC,
    _API + "admissionregistration.v1.MutatingAdmissionPolicyBinding": _SPEC,
    _API + "admissionregistration.v1.ValidatingAdmissionPolicy": _SPEC_STATUS,
    _API + "admissionregistration.v1.ValidatingAdmissionPolicyBinding": _SPEC,
    _API + "apps.v1.ControllerRevision": {"revision": 0},
    _API + "apps.v1.DaemonSet": {
        "spec": {**_WORKLOAD, "updateStrategy": {}},
        "status": {"currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0},
    },
    _API + "apps.v1.Deployment": {"spec": {**_WORKLOAD, "strategy": {}}, "status": {}},
    _API + "apps.v1.ReplicaSet": {"spec": {"selector": None, "template": _TEMPLATE}, "status": {"replicas": 0}},
    _API + "apps.v1.StatefulSet": {
        "spec": {**_WORKLOAD, "serviceName": "", "updateStrategy": {}},
        "status": {"replicas": 0, "availableReplicas": 0},
    },
    _API + "autoscaling.v1.HorizontalPodAutoscaler": {
        "spec": _SCALE_TARGET,
        "status": {"currentReplicas": 0, "desiredReplicas": 0},
    },
    _API + "autoscaling.v1.Scale": {"spec": {}, "status": {"replicas": 0}},
    _API + "autoscaling.v2.HorizontalPodAutoscaler": {
        "spec": _SCALE_TARGET,
        "status": {"desiredReplicas": 0, "currentMetrics": None},
    },
    _API + "batch.v1.CronJob": {"spec": {"schedule": "", "jobTemplate": {"metadata": {}, "spec": _JOB}}, "status": {}},
    _API + "batch.v1.Job": {"spec": _JOB, "status": {}},
    _API + "certificates.v1.CertificateSigningRequest": {"spec": {"request": None, "signerName": ""}, "status": {}},
    _API + "coordination.v1.Lease": _SPEC,
    _API + "core.v1.Event": {
        "involvedObject": {},
        "source": {},
        "firstTimestamp": None,
        "lastTimestamp": None,
        "eventTime": None,
        "reportingComponent": "",
        "reportingInstance": "",
    },
    _API + "core.v1.LimitRange": {"spec": {"limits": None}},
    _API + "core.v1.Namespace": _SPEC_STATUS,
    _API + "core.v1.Node": {
        "spec": {},
        "status": {
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
            "nodeInfo": dict.fromkeys((*_NODE_INFO, "kubeProxyVersion", "operatingSystem", "architecture"), ""),
        },
    },
    _API + "core.v1.PersistentVolume": _SPEC_STATUS,
    _API + "core.v1.PersistentVolumeClaim": {"spec": {"resources": {}}, "status": {}},
    _API + "core.v1.Pod": {"spec": {"containers": None}, "status": {}},
    _API + "core.v1.PodTemplate": {"template": _TEMPLATE},
    _API + "core.v1.ReplicationController": {"spec": {}, "status": {"replicas": 0}},
    _API + "core.v1.ResourceQuota": _SPEC_STATUS,
    _API + "core.v1.Service": {"spec": {}, "status": {"loadBalancer": {}}},
    _API + "discovery.v1.EndpointSlice": {"addressType": "", "endpoints": None, "ports": None},
    _API + "events.v1.Event": {
        "eventTime": None,
        "regarding": {},
        "deprecatedSource": {},
        "deprecatedFirstTimestamp": None,
        "deprecatedLastTimestamp": None,
    },
    _API + "flowcontrol.v1.FlowSchema": {
        "spec": {"priorityLevelConfiguration": {"name": ""}, "matchingPrecedence": 0},
        "status": {},
    },
    _API + "flowcontrol.v1.PriorityLevelConfiguration": {"spec": {"type": ""}, "status": {}},
    _API + "networking.v1.IPAddress": _SPEC,
    _API + "networking.v1.Ingress": {"spec": {}, "status": {"loadBalancer": {}}},
    _API + "networking.v1.IngressClass": _SPEC,
    _API + "networking.v1.NetworkPolicy": {"spec": {"podSelector": {}}},
    _API + "networking.v1.ServiceCIDR": _SPEC_STATUS,
    _API + "node.v1.RuntimeClass": {"handler": ""},
    _API + "policy.v1.PodDisruptionBudget": {
        "spec": {},
        "status": {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0},
    },
    _API + "rbac.v1.ClusterRole": {"rules": None},
    _API + "rbac.v1.ClusterRoleBinding": {"roleRef": _ROLE_REF},
    _API + "rbac.v1.Role": {"rules": None},
    _API + "rbac.v1.RoleBinding": {"roleRef": _ROLE_REF},
    _API + "resource.v1.DeviceClass": _SPEC,
    _API + "resource.v1.ResourceClaim": {"spec": {"devices": {"requests": None}}, "status": {}},
    _API + "resource.v1.ResourceClaimTemplate": {"spec": {"metadata": {}, "spec": {"devices": {"requests": None}}}},
    _API + "resource.v1.ResourceSlice": {
        "spec": {"driver": "", "pool": {"name": "", "generation": 0, "resourceSliceCount": 0}},
    },
    _API + "scheduling.v1.PriorityClass": {"value": 0},
    _API + "storage.v1.CSIDriver": _SPEC,
    _API + "storage.v1.CSINode": {"spec": {"drivers": None}},
    _API + "storage.v1.CSIStorageCapacity": {"storageClassName": ""},
    _API + "storage.v1.StorageClass": {"provisioner": ""},
    _API + "storage.v1.VolumeAttachment": {
        "spec": {"attacher": "", "source": {}, "nodeName": ""},
        "status": {"attached": False},
    },
    _API + "storage.v1.VolumeAttributesClass": {"driverName": ""},
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition": {
        "spec": {"group": "", "names": _NAMES, "scope": "", "versions": None},
        "status": {"conditions": None, "acceptedNames": _NAMES, "storedVersions": None},
    },
    "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService": {
        "spec": {"groupPriorityMinimum": 0, "versionPriority": 0},
        "status": {},
    },
}


def of(definition: str) -> Mapping[str, Any]:
    """The empty object of a definition's name; of a custom resource ("") nothing."""
    if not definition:
        return {}
    return {**_METADATA, **_BEYOND_METADATA.get(definition, {})}
