"""The Scale, which is no resource of its own: the form in which the scale subresource of a workload is shown.

It is in no roster, so nothing routes to it or discovers it; its columns are what `kubectl get --subresource=scale` prints.
"""

from reconciler.kinds import columns
from reconciler.model import meta
from reconciler.model.kind import Kind, Version

SCALE = Kind(
    group="autoscaling",
    kind="Scale",
    plural="scales",
    singular="scale",
    versions=(Version(name="v1", schema="io.k8s.api.autoscaling.v1.Scale"),),
    columns=(
        columns.NAME,
        columns.column("Desired", lambda obj: meta.spec(obj).get("replicas", 0), "@spec.replicas", type="integer"),
        columns.column("Available", lambda obj: meta.status(obj).get("replicas", 0), "@status.replicas", type="integer"),
        columns.AGE,
    ),
)
