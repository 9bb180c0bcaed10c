"""The expressions of admission policies: what they may name, whether they compile, and the compiled whole."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from reconciler.model import errors, meta
from reconciler.model.cel import authorizer, check, parse, program, types
from reconciler.model.cel.check import Environment
from reconciler.model.cel.errors import Refused
from reconciler.model.cel.kubernetes import FUNCTIONS
from reconciler.model.cel.program import Program
from reconciler.model.cel.types import Type
from reconciler.model.errors import FieldError

OBJECT, JSON_PATCH = (
    Type("Object", fields={}),
    Type("JSONPatch", fields={"op": types.STRING, "path": types.STRING, "from": types.STRING, "value": types.DYN}),
)
_GVK = types.object_of("kubernetes.GroupVersionKind", {"group": types.STRING, "version": types.STRING, "kind": types.STRING})
_GVR = types.object_of("kubernetes.GroupVersionResource", {"group": types.STRING, "version": types.STRING, "resource": types.STRING})
_USER = types.object_of(
    "kubernetes.UserInfo",
    {
        "username": types.STRING,
        "uid": types.STRING,
        "groups": types.list_of(types.STRING),
        "extra": types.map_of(types.STRING, types.list_of(types.STRING)),
    },
)
REQUEST = types.object_of(
    "kubernetes.AdmissionRequest",
    {
        "kind": _GVK, "resource": _GVR, "subResource": types.STRING, "requestKind": _GVK, "requestResource": _GVR,
        "requestSubResource": types.STRING, "name": types.STRING, "namespace": types.STRING, "operation": types.STRING,
        "userInfo": _USER, "dryRun": types.BOOL, "options": types.DYN,
    },
)  # fmt: skip
_GIVEN = {
    "object": types.DYN,
    "oldObject": types.DYN,
    "request": REQUEST,
    "namespaceObject": types.DYN,
    "authorizer": authorizer.AUTHORIZER,
}


@dataclass(slots=True)
class Compiled:
    """A policy's programs, by what they are for; `problems` are the expressions that do not compile."""

    conditions: list[Program] = field(default_factory=list)
    variables: list[tuple[str, Program]] = field(default_factory=list)
    validations: list[tuple[Mapping[str, Any], Program, Program | None]] = field(default_factory=list)
    mutations: list[tuple[str, Program]] = field(default_factory=list)
    problems: list[FieldError] = field(default_factory=list)

    def add(self, path: str, text: str, environment: Environment, wanted: str) -> Program | None:
        try:
            made = program.compile(text, environment)
        except Refused as refused:
            self.problems.append(errors.invalid(path, text, f"compilation failed: {refused}"))
            return None
        if wanted and str(made.result) not in wanted.split("|"):
            if "|" in wanted:
                wanted = f"one of [{wanted.replace('|', ' ')}]"
            self.problems.append(errors.invalid(path, text, f"must evaluate to {wanted} but got {made.shown_result}"))
            return None
        return made


def compiled(policy: meta.Obj) -> Compiled:
    """Everything that a policy evaluates. Expressions that are empty or missing are others' complaint."""
    spec, made = meta.spec(policy), Compiled()
    given = {**_GIVEN, **({"params": types.DYN} if spec.get("paramKind") else {})}
    environment = Environment(given, {**FUNCTIONS, **authorizer.FUNCTIONS})
    for index, condition in enumerate(_written(spec.get("matchConditions"), "expression")):
        found = made.add(f"spec.matchConditions[{index}].expression", condition["expression"], environment, "bool")
        if found is not None:
            made.conditions.append(found)
    environment = _with_variables(made, spec.get("variables") or (), environment)
    for index, validation in enumerate(_written(spec.get("validations"), "expression")):
        path = f"spec.validations[{index}]"
        rule = made.add(f"{path}.expression", validation["expression"], environment, "bool")
        message = None
        if validation.get("messageExpression"):
            message = made.add(f"{path}.messageExpression", validation["messageExpression"], environment, "string")
        if rule is not None:
            made.validations.append((validation, rule, message))
    for index, annotation in enumerate(_written(spec.get("auditAnnotations"), "valueExpression")):
        made.add(f"spec.auditAnnotations[{index}].valueExpression", annotation["valueExpression"], environment, "string|null_type")
    _add_mutations(made, spec.get("mutations") or (), environment)
    return made


def warnings(policy: meta.Obj, typed: Mapping[str, Type], params: Type) -> list[dict[str, str]]:
    """Of each expression that does not fit the objects it is evaluated on: where it stands, and what is wrong by kind.

    `typed` are the types of those objects by what they are called, `params` is that of the parameters.
    """
    spec, found = meta.spec(policy), []
    for index, validation in enumerate(spec.get("validations") or ()):
        for part in ("expression", "messageExpression"):
            text = str(validation.get(part) or "")
            complaints = [(kind, _complaint(text, _typed(spec, type, params))) for kind, type in typed.items()] if text.strip() else []
            told = [f"{kind}: {complaint}\n" for kind, complaint in complaints if complaint]
            if told:
                found.append({"fieldRef": f"spec.validations[{index}].{part}", "warning": "\n".join(told)})
    return found


def _typed(spec: Mapping[str, Any], type: Type, params: Type) -> Environment:
    """What a policy's expressions may name where the object's type is known."""
    given = {**_GIVEN, "object": type, "oldObject": type, **({"params": params} if spec.get("paramKind") else {})}
    return _with_variables(Compiled(), spec.get("variables") or (), Environment(given, {**FUNCTIONS, **authorizer.FUNCTIONS}))


def _complaint(text: str, environment: Environment) -> str:
    try:
        check.check(text, parse.parse(text), environment)
    except Refused as refused:
        return str(refused)
    return ""


def refused(policy: meta.Obj) -> Iterator[FieldError]:
    yield from compiled(policy).problems


def refused_conditions(path: str, found: Sequence[Mapping[str, Any]]) -> Iterator[FieldError]:
    """The match conditions of a webhook that do not compile."""
    made, environment = Compiled(), Environment(dict(_GIVEN), {**FUNCTIONS, **authorizer.FUNCTIONS})
    for index, condition in enumerate(_written(found, "expression")):
        made.add(f"{path}[{index}].expression", condition["expression"], environment, "bool")
    yield from made.problems


def _written(parts: Sequence[Mapping[str, Any]] | None, key: str) -> list[Mapping[str, Any]]:
    return [part for part in parts or () if str(part.get(key) or "").strip()]


def _with_variables(made: Compiled, variables: Sequence[Mapping[str, Any]], environment: Environment) -> Environment:
    """Each variable may use the ones before it."""
    known: dict[str, Type] = {}

    def now() -> Environment:
        return replace(environment, variables={**environment.variables, "variables": types.object_of("kubernetes.variables", dict(known))})

    for index, variable in enumerate(_written(variables, "expression")):
        found = made.add(f"spec.variables[{index}].expression", variable["expression"], now(), "")
        if found is not None:
            made.variables.append((variable["name"], found))
        known[variable["name"]] = found.result if found is not None else types.DYN
    return now()


def _add_mutations(made: Compiled, mutations: Sequence[Mapping[str, Any]], environment: Environment) -> None:
    environment = replace(environment, messages={"Object": OBJECT, "JSONPatch": JSON_PATCH})
    for index, mutation in enumerate(mutations):
        kind = str(mutation.get("patchType", ""))
        name, wanted = ("applyConfiguration", "Object") if kind == "ApplyConfiguration" else ("jsonPatch", "list(JSONPatch)")
        text = str((mutation.get(name) or {}).get("expression") or "")
        if text.strip():
            found = made.add(f"spec.mutations[{index}].{name}.expression", text, environment, wanted)
            if found is not None:
                made.mutations.append((kind, found))
