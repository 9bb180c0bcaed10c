"""CertificateSigningRequest: a client asks for a certificate, an approver agrees, a signer issues it."""

from reconciler.kinds import certificate_rules, columns
from reconciler.model import meta
from reconciler.model.kind import Health, Kind, Subresource, Version, status_of

APPROVAL = ("Approved", "Denied")


def conditions(request: meta.Obj) -> tuple[str, ...]:
    return tuple(one["type"] for one in meta.status(request).get("conditions") or ())


def is_approved(request: meta.Obj) -> bool:
    return "Approved" in conditions(request) and not is_denied(request)


def is_denied(request: meta.Obj) -> bool:
    return "Denied" in conditions(request)


def is_issued(request: meta.Obj) -> bool:
    return bool(meta.status(request).get("certificate"))


def prepare(request: meta.Obj, old: meta.Obj | None) -> meta.Obj:
    """Nobody chooses who he is (the API server fills that in), and a request never changes."""
    if old is not None:
        return {**request, "spec": old["spec"], "status": old.get("status") or {}}
    spec = {name: value for name, value in meta.spec(request).items() if name not in ("username", "uid", "groups", "extra")}
    return {**request, "spec": spec, "status": {}}


def prepare_status(request: meta.Obj, old: meta.Obj | None) -> meta.Obj:
    """Approval is not the signer's to say."""
    if old is None:
        return request
    kept = [one for one in meta.status(old).get("conditions") or () if one.get("type") in APPROVAL]
    new = [one for one in meta.status(request).get("conditions") or () if one.get("type") not in APPROVAL]
    status = {name: value for name, value in meta.status(request).items() if name != "conditions"}
    return {**request, "spec": old["spec"], "status": status | ({"conditions": [*kept, *new]} if kept or new else {})}


def health(request: meta.Obj) -> Health:
    if is_denied(request) or "Failed" in conditions(request):
        return Health("Degraded", _condition_cell(request))
    return Health("Healthy") if is_issued(request) else Health("Progressing", _condition_cell(request))


def _condition_cell(request: meta.Obj) -> str:
    found = conditions(request)
    state = "Denied" if is_denied(request) else "Approved" if "Approved" in found else "Pending"
    return state + (",Failed" if "Failed" in found else "") + (",Issued" if is_issued(request) else "")


def _duration_cell(request: meta.Obj) -> str:
    seconds = meta.spec(request).get("expirationSeconds")
    return columns.NONE if seconds is None else columns.human_duration(seconds)


KIND = Kind(
    group="certificates.k8s.io",
    kind="CertificateSigningRequest",
    plural="certificatesigningrequests",
    singular="certificatesigningrequest",
    short_names=("csr",),
    namespaced=False,
    versions=(Version(name="v1", schema="io.k8s.api.certificates.v1.CertificateSigningRequest"),),
    subresources=(
        Subresource(name="approval", kind="CertificateSigningRequest", verbs=("get", "patch", "update")),
        status_of("CertificateSigningRequest"),
    ),
    prepare=prepare,
    prepare_status=prepare_status,
    validate=certificate_rules.validate,
    validate_status=certificate_rules.validate_status,
    stamps_conditions=True,
    name_rule="path",
    records_requestor=True,
    columns=(
        columns.NAME,
        columns.AGE,
        columns.column("SignerName", lambda r: meta.spec(r).get("signerName", ""), "@spec.signerName"),
        columns.column("Requestor", lambda r: meta.spec(r).get("username", ""), "@spec.request"),
        columns.column("RequestedDuration", _duration_cell, "@spec.expirationSeconds"),
        columns.column("Condition", _condition_cell, "@status.conditions"),
    ),
    selectable_fields={"spec.signerName": lambda r: str(meta.spec(r).get("signerName", ""))},
    health=health,
    order=15,
)
