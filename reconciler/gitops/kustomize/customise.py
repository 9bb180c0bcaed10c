"""What one kustomization does to the resources it has: patches, names, labels, images, replacements, in that order."""

import contextlib
from collections.abc import Iterable, Iterator

from reconciler.gitops.kustomize import patches, replace, spec, targets, transform
from reconciler.gitops.kustomize.files import Files
from reconciler.gitops.kustomize.resource import Refused, Resource
from reconciler.gitops.kustomize.targets import Target
from reconciler.model.schema import Schemas


def customise(files: Files, target: Target, resources: list[Resource], config: spec.Configuration, schemas: Schemas) -> list[Resource]:
    """The resources of a target after its own fields. Raises Refused."""
    given = target.spec
    for patch, place in _patches(given):
        resources = patches.apply(resources, _text(files, target, patch, place), patch, schemas)
    _rename(target, resources, config)
    _mark(target, resources, config)
    for number, patch in enumerate(given.patches_json6902):
        place = f"patchesJson6902[{number}]"
        resources = patches.apply(resources, _text(files, target, patch, place), patch, schemas)
    for number, count in enumerate(given.replicas):
        with _placed(target, f"replicas[{number}]"):
            transform.replicas(resources, count, config)
    for image in (*given.images, *given.image_tags):
        with _placed(target, "images"):
            transform.images(resources, image, config)
    for number, wanted in enumerate(given.replacements):
        _replace(files, target, resources, wanted, f"replacements[{number}]")
    return resources


def _patches(given: spec.Kustomization) -> Iterator[tuple[spec.Patch, str]]:
    for number, text in enumerate(given.patches_strategic_merge):
        is_inline = "\n" in text or ": " in text
        yield spec.Patch(patch=text) if is_inline else spec.Patch(path=text), f"patchesStrategicMerge[{number}]"
    yield from ((patch, f"patches[{number}]") for number, patch in enumerate(given.patches))


def _text(files: Files, target: Target, patch: spec.Patch, place: str) -> patches.Text:
    if bool(patch.path) == bool(patch.patch.strip()):
        raise Refused(target.problem("give a path or a patch, and not both", place))
    if patch.patch:
        return patches.Text(patch.patch, target.document.path, target.document, f"{place}.patch")
    path, data = targets.content(files, target, patch.path, f"{place}.path")
    return patches.Text(data.decode("utf-8", "replace"), path)


def _rename(target: Target, resources: list[Resource], config: spec.Configuration) -> None:
    given = target.spec
    with _placed(target, "namespace"):
        if given.namespace:
            transform.namespace(resources, given.namespace, config)
    with _placed(target, "namePrefix"):
        if given.name_prefix:
            transform.names(resources, given.name_prefix, config, is_prefix=True)
    with _placed(target, "nameSuffix"):
        if given.name_suffix:
            transform.names(resources, given.name_suffix, config, is_prefix=False)


def _mark(target: Target, resources: list[Resource], config: spec.Configuration) -> None:
    given = target.spec
    for number, label in enumerate(given.labels):
        with _placed(target, f"labels[{number}]"):
            transform.labels(resources, label.pairs, _label_fields(label, config))
    with _placed(target, "commonLabels"):
        if given.common_labels:
            transform.labels(resources, given.common_labels, config.common_labels)
    with _placed(target, "commonAnnotations"):
        if given.common_annotations:
            transform.labels(resources, given.common_annotations, config.common_annotations)


def _label_fields(label: spec.Label, config: spec.Configuration) -> Iterable[spec.FieldSpec]:
    own = (*label.fields, *config.labels)
    if label.include_selectors:
        return (*own, *config.common_labels)
    return (*own, *(config.template_labels if label.include_templates else ()), spec.FieldSpec(path="metadata/labels", create=True))


def _replace(files: Files, target: Target, resources: list[Resource], wanted: spec.Replacement, place: str) -> None:
    if not wanted.path:
        try:
            replace.replace(resources, wanted)
        except replace.Failed as error:
            raise Refused(target.problem(str(error), f"{place}.{error.field}".rstrip("."))) from None
        return
    document = targets.only_document(*targets.content(files, target, wanted.path, f"{place}.path"))
    listed = isinstance(document.body, list)
    for number, one in enumerate(targets.replacements(document)):
        try:
            replace.replace(resources, one)
        except replace.Failed as error:
            prefix = f"[{number}]." if listed else ""
            raise Refused(document.problem(str(error), (prefix + error.field).rstrip("."))) from None


@contextlib.contextmanager
def _placed(target: Target, field: str) -> Iterator[None]:
    """Gives what fails its place in the kustomization file."""
    try:
        yield
    except transform.Failed as error:
        raise Refused(target.problem(str(error), field)) from None
