"""The three patches that a client may send beside apply, as pure functions over JSON values.

`json_patch` is RFC 6902, `merge_patch` RFC 7386, `strategic_patch` Kubernetes' own, which knows from the schema how a
list is merged. Each copies the path it changes, shares the rest with the original, and refuses with the StatusError
that kube-apiserver answers. `shown` is how upstream quotes a patched object that it then cannot decode, `misfit` what it says of a
strategically merged one.
Deliberately not here: decoding the request, and whether the result is a valid object.
"""

from reconciler.model.patch.operations import json_patch
from reconciler.model.patch.plain import merge_patch, shown
from reconciler.model.patch.restore import misfit
from reconciler.model.patch.strategic import strategic_patch

__all__ = ["json_patch", "merge_patch", "misfit", "shown", "strategic_patch"]
