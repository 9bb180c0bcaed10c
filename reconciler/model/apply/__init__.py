"""Server-side apply, and the tracking of who owns which field (KEP-555), as pure functions over objects in wire form.

`track` is for every write that is not an apply: it gives the new object with its managedFields. `apply` merges a
configuration into the live object or refuses with the conflicts. Both get a Form, made once per version and
subresource by `form.of`, and an object's zero fields filled in as Kubernetes' types write them (`status: {}`).
`settle_times` is asked last, before storing: a write that changed nothing but times is none. A Scale's owners are
those of its object's replicas (`scale`).

Deliberately not here: whether the result is valid, defaults, and admission.
"""

from reconciler.model.apply.form import Form
from reconciler.model.apply.writes import apply, settle_times, track

__all__ = ["Form", "apply", "settle_times", "track"]
