"""The spec of a Job, alone and in a CronJob."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds.rules import check, templates
from reconciler.model import errors, meta, names
from reconciler.model.errors import FieldError

Spec = Mapping[str, Any]

BATCH = "io.k8s.api.batch.v1."
MOST_PARALLEL_INDEXED = 100_000
MOST_FAILED_INDEXES = 100_000
MANY_COMPLETIONS = 100_000
MOST_WITH_MANY = 10_000
MOST_RULES = 20
MOST_EXIT_CODES = 255
ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
INDEXES_MOST_BYTES = 64 * 1024


def job(obj: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    """kube-apiserver looks at the spec of an updated job twice, and says what is wrong twice."""
    wanted = meta.spec(obj)
    yield from _generated_selector(obj)
    if old is not None:
        yield from _job_spec(wanted)
    yield from _job_spec(wanted)
    if old is None:
        yield from _pod_names(obj)
    else:
        yield from _update(wanted, meta.spec(old), suspended=bool(meta.spec(old).get("suspend")))


def _generated_selector(obj: meta.Obj) -> Iterator[FieldError]:
    """Unless the user selects by hand, labels and selector speak of the job itself."""
    wanted = meta.spec(obj)
    chosen = wanted.get("selector")
    if wanted.get("manualSelector") or chosen is None:
        return
    labels = ((wanted.get("template") or {}).get("metadata") or {}).get("labels") or {}
    own = {}
    for prefix in ("", "batch.kubernetes.io/"):
        for name, value in (("controller-uid", meta.uid(obj)), ("job-name", meta.name(obj))):
            own[prefix + name] = value
            path = f"spec.template.metadata.labels[{prefix}{name}]"
            if prefix + name not in labels:
                yield errors.required(path, f"must be '{value}'")
            elif labels[prefix + name] != value:
                yield errors.invalid(path, check.shown_labels(labels), f"must be '{value}'")
    if templates.is_parseable(chosen) and not templates.parsed(chosen).matches(own):
        yield errors.invalid("spec.selector", check.shown_selector(chosen), "`selector` not auto-generated")


def _job_spec(wanted: Mapping[str, Any]) -> Iterator[FieldError]:
    yield from spec("spec", wanted)
    chosen = wanted.get("selector")
    if chosen is None:
        yield errors.required("spec.selector")
    else:
        yield from check.label_selector("spec.selector", chosen)
    if templates.is_parseable(chosen):
        yield from templates.selected("spec.template", wanted.get("template") or {}, templates.parsed(chosen))


def _pod_names(obj: meta.Obj) -> Iterator[FieldError]:
    """Pods of an Indexed job carry its name as their host name."""
    completions = meta.spec(obj).get("completions") or 0
    if meta.spec(obj).get("completionMode") == "Indexed" and completions > 0:
        last = f"{meta.name(obj)}-{completions - 1}"
        if names.dns_label(last):
            detail = f"will not able to create pod with invalid DNS label: {last}"
            yield errors.invalid("metadata.name", meta.name(obj), detail)


def spec(path: str, wanted: Spec) -> Iterator[FieldError]:
    for field in ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished", "backoffLimitPerIndex"):
        yield from check.non_negative(f"{path}.{field}", wanted.get(field))
    if wanted.get("maxFailedIndexes") is not None:
        yield from check.non_negative(f"{path}.maxFailedIndexes", wanted["maxFailedIndexes"])
        if wanted.get("backoffLimitPerIndex") is None:
            yield errors.required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    if wanted.get("managedBy") is not None:
        yield from domain_prefixed(f"{path}.managedBy", wanted["managedBy"])
        if len(wanted["managedBy"]) > 63:
            yield errors.too_long(f"{path}.managedBy", 63)
    yield from _completion(path, wanted)
    if wanted.get("podFailurePolicy") is not None:
        yield from _failure_policy(f"{path}.podFailurePolicy", wanted["podFailurePolicy"], wanted)
    if wanted.get("successPolicy") is not None:
        yield from _success_policy(f"{path}.successPolicy", wanted["successPolicy"], wanted)
    yield from _replacement(f"{path}.podReplacementPolicy", wanted)
    made = wanted.get("template") or {}
    yield from templates.template(f"{path}.template", made)
    policy = (made.get("spec") or {}).get("restartPolicy", "")
    if policy not in ("OnFailure", "Never"):
        yield errors.required(f"{path}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"')
    elif wanted.get("podFailurePolicy") is not None and policy != "Never":
        detail = 'only "Never" is supported when podFailurePolicy is specified'
        yield errors.invalid(f"{path}.template.spec.restartPolicy", policy, detail)


def domain_prefixed(path: str, text: str) -> Iterator[FieldError]:
    """acme.io/foo"""
    if not text:
        yield errors.required(path)
        return
    domain, slash, rest = text.partition("/")
    if not slash or not domain or not rest:
        yield errors.invalid(path, text, 'must be a domain-prefixed path (such as "acme.io/foo")')
        return
    yield from check.subdomain(path, domain)


def _completion(path: str, wanted: Spec) -> Iterator[FieldError]:
    mode, completions = wanted.get("completionMode"), wanted.get("completions")
    failed, per_index = wanted.get("maxFailedIndexes"), wanted.get("backoffLimitPerIndex")
    if mode is not None:
        yield from check.one_of(f"{path}.completionMode", mode, ("NonIndexed", "Indexed"), sort=False)
    if mode in (None, "NonIndexed"):
        for field, value in (("backoffLimitPerIndex", per_index), ("maxFailedIndexes", failed)):
            if value is not None:
                yield errors.invalid(f"{path}.{field}", value, "requires indexed completion mode")
    if mode != "Indexed":
        return
    if completions is None:
        yield errors.required(f"{path}.completions", "when completion mode is Indexed")
    if (wanted.get("parallelism") or 0) > MOST_PARALLEL_INDEXED:
        detail = f"must be less than or equal to {MOST_PARALLEL_INDEXED} when completion mode is Indexed"
        yield errors.invalid(f"{path}.parallelism", wanted["parallelism"], detail)
    if completions is not None and failed is not None and failed > completions:
        yield errors.invalid(f"{path}.maxFailedIndexes", failed, "must be less than or equal to completions")
    if failed is not None and failed > MOST_FAILED_INDEXES:
        yield errors.invalid(f"{path}.maxFailedIndexes", failed, f"must be less than or equal to {MOST_FAILED_INDEXES}")
    if completions is not None and completions > MANY_COMPLETIONS and per_index is not None:
        yield from _many_completions(path, wanted)


def _many_completions(path: str, wanted: Spec) -> Iterator[FieldError]:
    failed, parallel = wanted.get("maxFailedIndexes"), wanted.get("parallelism") or 0
    when = f"when completions are above {MANY_COMPLETIONS} and used with backoff limit per index"
    if failed is None:
        yield errors.required(f"{path}.maxFailedIndexes", f"must be specified when completions is above {MANY_COMPLETIONS}")
    if parallel > MOST_WITH_MANY:
        yield errors.invalid(f"{path}.parallelism", parallel, f"must be less than or equal to {MOST_WITH_MANY} {when}")
    if failed is not None and failed > MOST_WITH_MANY:
        yield errors.invalid(f"{path}.maxFailedIndexes", failed, f"must be less than or equal to {MOST_WITH_MANY} {when}")


def _failure_policy(path: str, policy: Mapping[str, Any], wanted: Spec) -> Iterator[FieldError]:
    rules = policy.get("rules") or ()
    if len(rules) > MOST_RULES:
        yield errors.too_many(f"{path}.rules", len(rules), MOST_RULES)
    inner = (wanted.get("template") or {}).get("spec") or {}
    containers = {one.get("name") for field in ("containers", "initContainers") for one in inner.get(field) or ()}
    for index, rule in enumerate(rules):
        yield from _failure_rule(f"{path}.rules[{index}]", rule, containers, wanted)


def _failure_rule(path: str, rule: Mapping[str, Any], containers: set[Any], wanted: Spec) -> Iterator[FieldError]:
    action, codes, conditions = rule.get("action", ""), rule.get("onExitCodes"), rule.get("onPodConditions") or ()
    if not action:
        yield errors.required(f"{path}.action", f"valid values: {_quoted(ACTIONS)}")
    elif action == "FailIndex":
        if wanted.get("backoffLimitPerIndex") is None:
            yield errors.invalid(f"{path}.action", action, "requires the backoffLimitPerIndex to be set")
    else:
        yield from check.one_of(f"{path}.action", action, ACTIONS)
    if codes is not None:
        yield from _exit_codes(f"{path}.onExitCodes", codes, containers)
    if conditions:
        yield from _conditions(f"{path}.onPodConditions", conditions)
    if codes is not None and conditions:
        yield errors.invalid_whole(path, "specifying both OnExitCodes and OnPodConditions is not supported")
    if codes is None and not conditions:
        yield errors.invalid_whole(path, "specifying one of OnExitCodes and OnPodConditions is required")


def _exit_codes(path: str, codes: Mapping[str, Any], containers: set[Any]) -> Iterator[FieldError]:
    operator, values, container = codes.get("operator", ""), codes.get("values"), codes.get("containerName")
    yield from check.required_one_of(f"{path}.operator", operator, ("In", "NotIn"), f"valid values: {_quoted(('In', 'NotIn'))}")
    if container is not None and container not in containers:
        detail = "must be one of the container or initContainer names in the pod template"
        yield errors.invalid(f"{path}.containerName", container, detail)
    if not values:
        yield errors.invalid(f"{path}.values", values, "at least one value is required")
        return
    if len(values) > MOST_EXIT_CODES:
        yield errors.too_many(f"{path}.values", len(values), MOST_EXIT_CODES)
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            yield errors.invalid(f"{path}.values[{index}]", value, "must not be 0 for the In operator")
        if value in values[:index]:
            yield errors.duplicate(f"{path}.values[{index}]", value)
    if list(values) != sorted(values):
        yield errors.invalid(f"{path}.values", values, "must be ordered")


def _conditions(path: str, conditions: Sequence[Mapping[str, Any]]) -> Iterator[FieldError]:
    statuses = ("False", "True", "Unknown")
    if len(conditions) > MOST_RULES:
        yield errors.too_many(path, len(conditions), MOST_RULES)
    for index, one in enumerate(conditions):
        yield from check.qualified(f"{path}[{index}].type", one.get("type", ""))
        status = one.get("status", "")
        yield from check.required_one_of(f"{path}[{index}].status", status, statuses, f"valid values: {_quoted(statuses)}")


def _quoted(choices: Sequence[str]) -> str:
    return "[" + " ".join(f'"{choice}"' for choice in choices) + "]"


def _success_policy(path: str, policy: Mapping[str, Any], wanted: Spec) -> Iterator[FieldError]:
    rules = policy.get("rules") or ()
    if wanted.get("completionMode") != "Indexed":
        shown = [check.internal(rule, SucceededIndexes=None, SucceededCount=None) for rule in rules]
        yield errors.invalid(path, {"Rules": shown or policy.get("rules")}, "requires indexed completion mode")
        return
    if not rules:
        yield errors.required(f"{path}.rules", "at least one rules must be specified when the successPolicy is specified")
    if len(rules) > MOST_RULES:
        yield errors.too_many(f"{path}.rules", len(rules), MOST_RULES)
    for index, rule in enumerate(rules):
        yield from _success_rule(f"{path}.rules[{index}]", rule, wanted.get("completions"))


def _success_rule(path: str, rule: Mapping[str, Any], completions: int | None) -> Iterator[FieldError]:
    indexes, count = rule.get("succeededIndexes"), rule.get("succeededCount")
    if indexes is None and count is None:
        yield errors.required(path, "at least one of succeededCount or succeededIndexes must be specified")
    total = 0
    if indexes is not None:
        if len(indexes) > INDEXES_MOST_BYTES:
            yield errors.too_long(f"{path}.succeededIndexes", INDEXES_MOST_BYTES)
        try:
            total = count_indexes(indexes, completions or 0)
        except ValueError as error:
            yield errors.invalid(f"{path}.succeededIndexes", indexes, f"error parsing succeededIndexes: {error}")
    if count is None:
        return
    yield from check.non_negative(f"{path}.succeededCount", count)
    most = "must be less than or equal to"
    if completions is not None and count > completions:
        yield errors.invalid(f"{path}.succeededCount", count, f"{most} {completions} (the number of specified completions)")
    if indexes is not None and count > total:
        detail = f"{most} {total} (the number of indexes in the specified succeededIndexes field)"
        yield errors.invalid(f"{path}.succeededCount", count, detail)


def count_indexes(text: str, completions: int) -> int:
    """How many indexes "0-2,5" names. Raises ValueError for one that is malformed, too large or out of order."""
    total, last = 0, -1
    for interval in text.split(",") if text else ():
        limits = interval.split("-")
        if len(limits) > 2:
            raise ValueError(
                f"the fragment \"{interval}\" violates the requirement that an index interval can have at most two parts separated by '-'"
            )
        previous = last
        for limit in limits:
            if not limit.isdecimal():
                raise ValueError(f'cannot convert string to integer for index: "{limit}"')
            index = int(limit)
            if index >= completions:
                raise ValueError(f'too large index: "{limit}"')
            if index <= last:
                raise ValueError(f"non-increasing order, previous: {last}, current: {index}")
            last = index
        first = int(limits[0])
        total += last - first + 1 if first > previous else 0
    return total


def _replacement(path: str, wanted: Spec) -> Iterator[FieldError]:
    policy = wanted.get("podReplacementPolicy")
    if policy is None:
        return
    if wanted.get("podFailurePolicy") is not None:
        yield from check.one_of(path, policy, ("Failed",))
    else:
        yield from check.one_of(path, policy, ("Failed", "TerminatingOrFailed"))


def _update(new: Spec, old: Spec, suspended: bool) -> Iterator[FieldError]:
    yield from _completions_kept(new, old)
    yield from check.immutable("spec.selector", new.get("selector"), old.get("selector"), check.shown_selector(new.get("selector")))
    if not suspended or _unscheduled(new) != _unscheduled(old):
        yield from check.immutable("spec.template", new.get("template"), old.get("template"))
    yield from check.immutable("spec.completionMode", new.get("completionMode"), old.get("completionMode"))
    policy = new.get("podFailurePolicy")
    yield from check.immutable("spec.podFailurePolicy", policy, old.get("podFailurePolicy"), definition=f"{BATCH}PodFailurePolicy")
    yield from check.immutable("spec.backoffLimitPerIndex", new.get("backoffLimitPerIndex"), old.get("backoffLimitPerIndex"))
    yield from check.immutable("spec.managedBy", new.get("managedBy"), old.get("managedBy"))
    policy = new.get("successPolicy")
    yield from check.immutable("spec.successPolicy", policy, old.get("successPolicy"), definition=f"{BATCH}SuccessPolicy")


def _completions_kept(new: Spec, old: Spec) -> Iterator[FieldError]:
    """An Indexed job may grow and shrink, its parallelism with it."""
    now, before = new.get("completions"), old.get("completions")
    if now == before:
        return
    if new.get("completionMode") != "Indexed" or now is None or before is None:
        yield from check.immutable("spec.completions", now, before)
    elif now != new.get("parallelism"):
        yield errors.invalid("spec.completions", now, "can only be modified in tandem with spec.parallelism")


def _unscheduled(wanted: Spec) -> Any:
    """The template without what a suspended job may still change: where its pods go."""
    template = wanted.get("template") or {}
    inner = {
        name: value
        for name, value in (template.get("spec") or {}).items()
        if name not in ("nodeSelector", "affinity", "tolerations", "schedulingGates")
    }
    return {"spec": inner}
