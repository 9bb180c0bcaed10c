"""Sync: a folder that is kept applied, as a custom resource of the API (reconciler.dev/v1, cluster-wide).

Cluster-wide because it may write any namespace: whoever may create one may do everything. The fields are described
with pydantic, DEFINITION follows from that. It is applied when a folder is followed, so a server without one serves
what Kubernetes serves and nothing else. Pure.
"""

from collections.abc import Mapping
from typing import Any, Literal

import pydantic
from pydantic.alias_generators import to_camel

from reconciler.kinds import customresourcedefinition_kind

MAX_PROBLEMS = 100  # kept in the status; all of them are told
MAX_CHANGES = 50

State = Literal["Syncing", "Synced", "Blocked", "Stopped", "Suspended"]
Drift = Literal["fix", "warn", "off"]


class _Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class Ignore(_Model):
    """Fields that are left to others, of the objects that match; what is not given matches everything."""

    api_version: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    fields: tuple[str, ...] = pydantic.Field(description="Paths, such as spec.replicas or metadata.annotations[example.com/owner].")

    def takes(self, body: Mapping[str, Any], namespace: str) -> bool:
        metadata = body.get("metadata") or {}
        own = (body.get("apiVersion"), body.get("kind"), namespace, metadata.get("name"))
        return all(
            not wanted or wanted == one for wanted, one in zip((self.api_version, self.kind, self.namespace, self.name), own, strict=True)
        )


class HealthRule(_Model):
    """When an object of a kind is healthy, as CEL over the variable object; else its conditions decide."""

    api_version: str = pydantic.Field(min_length=1)
    kind: str = pydantic.Field(min_length=1)
    healthy: str = pydantic.Field(min_length=1, description="True when the object is as it should be.")
    degraded: str = pydantic.Field(default="", description="True when it will not become so by itself.")


class SecretName(_Model):
    namespace: str = ""
    name: str = ""


class Git(_Model):
    """A repository elsewhere. Of commit, semver, tag and branch the first that is given counts."""

    url: str = ""
    branch: str = ""
    tag: str = ""
    semver: str = pydantic.Field(default="", description="A range of versions; the highest tag in it is followed.")
    commit: str = ""
    interval_seconds: int = pydantic.Field(default=60, ge=1, description="How often the repository is asked.")
    secret: SecretName = pydantic.Field(default=SecretName(), description="With identity and known_hosts, or username and password.")
    signers: SecretName = pydantic.Field(
        default=SecretName(), description="With allowed_signers or *.asc: who must have signed the commits."
    )
    webhook: SecretName = pydantic.Field(default=SecretName(), description="With token: what calls of the webhook are signed with.")


class Notify(_Model):
    """Whom to tell what became of a revision. A secret's address counts before the url, its token is sent along."""

    type: Literal["webhook", "slack", "github", "gitlab", "gitea"] = "webhook"
    url: str = ""
    secret: SecretName = pydantic.Field(default=SecretName(), description="With address, token, or both.")
    outcomes: tuple[Literal["Healthy", "Progressing", "Refused", "Failed"], ...] = pydantic.Field(
        default=("Healthy", "Refused", "Failed"), description="What is told; a commit's status is told all."
    )


class Spec(_Model):
    path: str = pydantic.Field(default="", description="The folder whose documents are kept applied; with git one within the repository.")
    git: Git = Git()
    target_namespace: str = pydantic.Field(default="", description="Where all namespaced objects go, whatever their documents say.")
    suspend: bool = pydantic.Field(default=False, description="Leave everything as it is.")
    prune: bool = pydantic.Field(default=True, description="Delete what disappears from the folder.")
    deletion_limit: int = pydantic.Field(default=0, ge=0, description="How many objects one change may delete; 0 is no limit.")
    drift: Drift = pydantic.Field(
        default="fix", description="What happens when somebody changes an applied field: fix undoes it, warn says it, off ignores it."
    )
    ignore: tuple[Ignore, ...] = pydantic.Field(default=(), description="Fields that are left to others.")
    depends_on: tuple[str, ...] = pydantic.Field(default=(), description="Syncs that must be ready first.")
    health: tuple[HealthRule, ...] = pydantic.Field(default=(), description="When objects of further kinds are healthy.")
    notify: tuple[Notify, ...] = pydantic.Field(default=(), description="Whom to tell what became of a revision.")
    rollback: bool = pydantic.Field(default=False, description="Go back to the last healthy revision where a new one fails.")
    health_timeout_seconds: int = pydantic.Field(default=300, ge=1, description="After which an unhealthy object is a failure.")


class Condition(_Model):
    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""
    last_transition_time: str = ""

    def wire(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True)


class Problem(_Model):
    place: str = pydantic.Field(description="File, line and column, such as apps/web.yaml:12:5.")
    field: str = pydantic.Field(default="", description="Path of the field, such as spec.replicas.")
    message: str = pydantic.Field(description="What is wrong, and what to do.")


class Status(_Model):
    state: State = "Syncing"
    commit: str = pydantic.Field(default="", description="The commit that the folder is at, where it is a git checkout.")
    documents: int = pydantic.Field(default=0, ge=0, description="How many objects the folder describes.")
    conditions: tuple[Condition, ...] = ()
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = pydantic.Field(default=(), description="What is left undone on purpose, and drift that is not undone.")
    more_problems: int = pydantic.Field(default=0, ge=0, description="How many problems there are beyond the listed ones.")
    changes: tuple[str, ...] = pydantic.Field(default=(), description="What the last sync that changed something changed.")
    last_change_time: str = ""

    def wire(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True) | {"state": self.state}


def _structural(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """pydantic's JSON schema without references and titles, as CustomResourceDefinitions want it."""
    if isinstance(schema, list):
        return [_structural(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _structural(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    dropped = ("title", "$defs", "additionalProperties", "default")
    return {key: _structural(value, definitions) for key, value in schema.items() if key not in dropped}


def _schema(model: type[_Model]) -> dict[str, Any]:
    made = model.model_json_schema(by_alias=True)
    found: dict[str, Any] = _structural(made, made.get("$defs") or {})
    return found


def spec_of(obj: Mapping[str, Any]) -> Spec | None:
    """The settings of a Sync object, None where they are of another version."""
    try:
        return Spec.model_validate(obj.get("spec") or {})
    except pydantic.ValidationError:
        return None


def _column(name: str, path: str, form: str = "string") -> dict[str, str]:
    return {"name": name, "jsonPath": path, "type": form}


_NAMES = {"kind": "Sync", "listKind": "SyncList", "plural": "syncs", "singular": "sync"}
DEFINITION: Mapping[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "syncs.reconciler.dev"},
    "spec": {
        "group": "reconciler.dev",
        "names": _NAMES,
        "scope": "Cluster",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "description": "A folder that is kept applied.",
                        "required": ["spec"],
                        "properties": {"spec": _schema(Spec), "status": _schema(Status)},
                    },
                },
                "additionalPrinterColumns": [
                    _column("Path", ".spec.path"),
                    _column("State", ".status.state"),
                    _column("Documents", ".status.documents", "integer"),
                    _column("Commit", ".status.commit"),
                    _column("Message", '.status.conditions[?(@.type=="Ready")].message'),
                ],
            },
        ],
    },
}
KIND = customresourcedefinition_kind.kind_of({**DEFINITION, "status": {"acceptedNames": _NAMES}})
