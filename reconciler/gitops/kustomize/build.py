"""From a directory with a kustomization file to its documents, in kustomize's order of doing things.

A target reads its resources (files, and other kustomizations, whose result it takes), generates, lets components
work on what is there, and transforms. Hashes, references and the order of the result come last and once.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from reconciler.gitops import load
from reconciler.gitops.kustomize import config, customise, generate, references, spec, targets
from reconciler.gitops.kustomize.files import Files, Unreadable, is_remote, joined, read
from reconciler.gitops.kustomize.ordering import ordered
from reconciler.gitops.kustomize.resource import Identity, Refused, Resource, the_one
from reconciler.gitops.kustomize.targets import Target
from reconciler.model.schema import Schemas

MAX_DEPTH = 50  # of kustomizations upon kustomizations
MAX_RESOURCES = 20_000
LOCAL = "config.kubernetes.io/local-config"


Taken = dict[Identity, Resource]


@dataclass(frozen=True, slots=True)
class Built:
    """What a directory means. With problems there are no documents."""

    documents: tuple[load.Document, ...] = ()
    problems: tuple[load.Problem, ...] = ()


def build(files: Files, directory: str, schemas: Schemas) -> Built:
    """The documents of the kustomization in `directory`, as `kubectl kustomize` has them."""
    run = _Build(files, schemas)
    try:
        target = targets.target_of(files, directory)
        resources = run.finish(target, *run.accumulate(target, []))
    except Refused as refusal:
        return Built(problems=(*run.problems, refusal.problem))
    if run.problems:
        return Built(problems=tuple(dict.fromkeys(run.problems)))
    return Built(tuple(_document(resource, target.document.path) for resource in resources))


@dataclass(slots=True)
class _Build:
    files: Files
    schemas: Schemas
    problems: list[load.Problem] = field(default_factory=list)
    _above: list[str] = field(default_factory=list)  # directories that are being accumulated

    def accumulate(self, target: Target, resources: list[Resource]) -> tuple[list[Resource], spec.Configuration]:
        """`resources` (of the target above, for a component) with what a target adds and changes."""
        self._above.append(target.directory)
        taken = {one.identity: one for one in resources}
        settings = config.BUILTIN
        for path in target.spec.configurations:
            settings = settings.extended(self._configuration(target, path))
        for path, place in target.resources:
            try:
                added, more = self._resource(target, path, place)
            except Refused as refusal:
                self.problems.append(refusal.problem)
                continue
            settings = settings if more is None else more
            for resource in added:
                self._append(target, resources, taken, resource, place)
        self._generate(target, resources, taken)
        for number, path in enumerate(target.spec.components):
            resources, settings = self._directory(target, path, f"components[{number}]", resources)
        if not self.problems:
            resources = customise.customise(self.files, target, resources, settings, self.schemas)
        self._above.pop()
        return resources, settings

    def finish(self, target: Target, resources: list[Resource], settings: spec.Configuration) -> Sequence[Resource]:
        """What is done once, when everything is there."""
        if self.problems:
            return ()
        for resource in resources:
            if resource.needs_hash:
                resource.remember()
                resource.metadata["name"] += "-" + generate.content_hash(resource.body)
        try:
            references.fix(resources, settings.name_reference)
        except references.Ambiguous as error:
            raise Refused(target.problem(str(error))) from None
        kept = [one for one in resources if (one.metadata.get("annotations") or {}).get(LOCAL, "false") == "false"]
        return ordered(kept, target.spec.sort_options)

    def _resource(self, target: Target, path: str, place: str) -> tuple[list[Resource], spec.Configuration | None]:
        if not is_remote(path) and self._is_directory(target, path):
            return self._directory(target, path, place, None)
        found, data = targets.content(self.files, target, path, place)
        file = load.read(found, data, words_are_text=True)
        self.problems += file.problems
        heads = [(one, load.normal(one)) for one in file.documents]
        self.problems += (head for _, head in heads if isinstance(head, load.Problem))
        return [Resource(copy.deepcopy(dict(one.body)), one) for one, head in heads if isinstance(head, load.Document)], None

    def _is_directory(self, target: Target, path: str) -> bool:
        try:
            return self.files.is_directory(joined(target.directory, path))
        except Unreadable:
            return False

    def _directory(self, target: Target, path: str, place: str, given: list[Resource] | None) -> tuple[list[Resource], spec.Configuration]:
        """The result of another kustomization; of a component, `given` with what it does to them."""
        try:
            if is_remote(path):
                raise Unreadable(f"{path} is remote, and nothing is fetched while building: keep a copy in the folder")
            directory = joined(target.directory, path)
            if directory in self._above or len(self._above) > MAX_DEPTH:
                raise Unreadable(f"{path} is built upon this kustomization itself")
            below = targets.target_of(self.files, directory)
        except Unreadable as error:
            raise Refused(target.problem(str(error), place)) from None
        except FileNotFoundError:
            raise Refused(target.problem(f"there is no kustomization file in {path}", place)) from None
        is_component = below.spec.kind == spec.COMPONENT
        if is_component != (given is not None):
            form, group = ("a", "components") if is_component else ("no", "resources")
            raise Refused(target.problem(f"{path} is {form} component: name it under {group}", place))
        return self.accumulate(below, given if given is not None else [])

    def _append(self, target: Target, resources: list[Resource], taken: Taken, resource: Resource, place: str) -> None:
        twin = taken.setdefault(resource.identity, resource)
        if twin is not resource:
            where = f"{twin.document.source} and {resource.document.source}"
            self.problems.append(target.problem(f"{resource.identity} is defined twice, at {where}: keep one", place))
        elif len(resources) == MAX_RESOURCES:
            raise Refused(target.problem(f"more than {MAX_RESOURCES} resources", place))
        else:
            resources.append(resource)

    def _configuration(self, target: Target, path: str) -> spec.Configuration:
        number = target.spec.configurations.index(path)
        return targets.parsed(
            targets.only_document(*targets.content(self.files, target, path, f"configurations[{number}]")), spec.Configuration
        )

    def _generate(self, target: Target, resources: list[Resource], taken: Taken) -> None:
        made: tuple[tuple[str, Sequence[spec.Generator], Callable[..., dict[str, Any]]], ...] = (
            ("configMapGenerator", target.spec.config_map_generator, generate.config_map),
            ("secretGenerator", target.spec.secret_generator, generate.secret),
        )
        for name, generators, make in made:
            for number, one in enumerate(generators):
                place = f"{name}[{number}]"
                options = generate.merged(one.options, target.spec.generator_options)
                try:
                    body = make(one, options, lambda path: read(self.files, target.directory, path)[1])
                except generate.Malformed as error:
                    self.problems.append(target.problem(str(error), f"{place}.{error.field}"))
                    continue
                line = target.problem("", place).line
                document = load.Document(target.document.path, line, body, "", target.document.chunk, target.document.skip, (name, number))
                self._absorb(
                    target, resources, taken, Resource(body, document, needs_hash=not options.disable_name_suffix_hash), one, place
                )

    def _absorb(
        self, target: Target, resources: list[Resource], taken: Taken, new: Resource, generator: spec.Generator, place: str
    ) -> None:
        try:
            old = the_one(resources, new.identity)
        except LookupError as error:
            raise Refused(target.problem(str(error), place)) from None
        if generator.behavior not in ("merge", "replace"):
            return self._append(target, resources, taken, new, place)
        if old is None:
            if not self.problems:
                self.problems.append(target.problem(f"there is no {new.identity} to {generator.behavior}", f"{place}.behavior"))
            return None
        metadata = {**new.metadata, "name": old.metadata["name"]}
        metadata |= {"namespace": old.metadata["namespace"]} if "namespace" in old.metadata else {}
        for group in ("labels", "annotations"):
            if both := {**(old.metadata.get(group) or {}), **(new.metadata.get(group) or {})}:
                metadata[group] = both
        body = {**new.body, "metadata": metadata}
        if generator.behavior == "merge":
            for group in ("data", "binaryData"):
                if both := {**(old.body.get(group) or {}), **(new.body.get(group) or {})}:
                    body[group] = both
        old.body, old.needs_hash = body, new.needs_hash
        return None


def _document(resource: Resource, unit: str) -> load.Document:
    """A resource as the folder's document: its place is where it was written, its unit the kustomization that made it."""
    made = resource.document
    return load.Document(made.path, made.line, resource.body, "", made.chunk, made.skip, made.prefix, unit)
