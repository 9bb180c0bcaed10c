"""CertificateApproval, CertificateSigning and CertificateSubjectRestriction: who may do what with signing requests.

Approving and signing need the verbs `approve` and `sign` on the signer; nobody asks for a client certificate that
makes them a member of system:masters.
"""

import base64
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID

from reconciler.api.admission.chain import Attributes, Plugin
from reconciler.api.auth import authorisation
from reconciler.model import meta

REQUESTS = "certificatesigningrequests.certificates.k8s.io"
CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"


@dataclass(frozen=True, slots=True)
class Signers:
    authoriser: authorisation.Authoriser

    def approval(self, attributes: Attributes, _: meta.Obj) -> None:
        if attributes.operation == "UPDATE" and attributes.call.subresource == "approval":
            self._require(attributes, "approve")

    def signing(self, attributes: Attributes, obj: meta.Obj) -> None:
        old = attributes.old
        if attributes.operation != "UPDATE" or attributes.call.subresource != "status" or old is None:
            return
        if meta.status(old).get("certificate") != meta.status(obj).get("certificate"):
            self._require(attributes, "sign")

    def _require(self, attributes: Attributes, verb: str) -> None:
        assert attributes.old is not None
        signer = str(meta.spec(attributes.old).get("signerName", ""))
        domain = signer.partition("/")[0]
        for name in (signer, f"{domain}/*"):
            asked = authorisation.Asked(verb=verb, group="certificates.k8s.io", resource="signers", name=name)
            if self.authoriser(attributes.call.user, asked).allowed:
                return
        raise attributes.call.forbidden(f'user not permitted to {verb} requests with signerName "{signer}"')


def restrict_subject(attributes: Attributes, obj: meta.Obj) -> None:
    spec = meta.spec(obj)
    if attributes.operation != "CREATE" or attributes.call.subresource or spec.get("signerName") != CLIENT_SIGNER:
        return
    try:
        request = x509.load_pem_x509_csr(base64.b64decode(spec.get("request") or b""))
    except ValueError as error:
        raise attributes.call.forbidden(f"failed to parse CSR: {error}") from None
    for attribute in request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME):
        if attribute.value == authorisation.MASTERS:
            raise attributes.call.forbidden(f"use of {CLIENT_SIGNER} signer with {authorisation.MASTERS} group is not allowed")


def plugins(authoriser: authorisation.Authoriser) -> tuple[Plugin, ...]:
    signers, kinds = Signers(authoriser), frozenset({REQUESTS})
    return (
        Plugin(name="CertificateApproval", kinds=kinds, validate=signers.approval),
        Plugin(name="CertificateSigning", kinds=kinds, validate=signers.signing),
        Plugin(name="CertificateSubjectRestriction", kinds=kinds, validate=restrict_subject),
    )
