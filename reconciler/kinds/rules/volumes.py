"""Volumes of a pod: exactly one source each, with what it needs."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds.rules import check, claims, references
from reconciler.model import errors, names
from reconciler.model.errors import FieldError

Source = Mapping[str, Any]
Rule = Callable[[str, Source], Iterator[FieldError]]

FILE_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
MANAGED_DISK = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
BLOB_DISK = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
HOST_PATH_TYPES = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
DRIVER_NAME_MOST = 63
TOKEN_LEAST_SECONDS = 600
TOKEN_MOST_SECONDS = 1 << 32

_IQN = re.compile(r"iqn\.\d{4}-\d{2}\.([a-zA-Z0-9\-.]+)(:[^,;*&$|\s]+)$")
_EUI = re.compile(r"eui.[a-zA-Z0-9]{16}")
_NAA = re.compile(r"naa.[a-zA-Z0-9]{32}")


def volumes(path: str, found: Sequence[Source], known: dict[str, Source]) -> Iterator[FieldError]:
    """Adds the good ones to `known`, under their names."""
    for index, volume in enumerate(found):
        at, name = f"{path}[{index}]", volume.get("name", "")
        refused = list(_source(at, volume))
        if not name:
            refused.append(errors.required(f"{at}.name"))
        else:
            refused += check.because(f"{at}.name", name, names.dns_label(name))
        if name in known:
            refused.append(errors.duplicate(f"{at}.name", name))
        if not refused:
            known[name] = volume
        yield from refused


def _source(path: str, volume: Source) -> Iterator[FieldError]:
    given = [name for name in SOURCES if volume.get(name) is not None]
    if not given:
        yield errors.required(path, "must specify a volume type")
    for position, name in enumerate(given):
        at = f"{path}.{PATH_NAMES.get(name, name)}"
        if position:
            yield errors.forbidden(f"{path}.{name}", "may not specify more than 1 volume type")
        else:
            yield from SOURCES[name](at, volume[name])


def persistent_source(path: str, spec: Source, sources: Mapping[str, Rule]) -> Iterator[FieldError]:
    """The source of a PersistentVolume, whose message for none is the same."""
    given = [name for name in sources if spec.get(name) is not None]
    if not given:
        yield errors.required(path, "must specify a volume type")
    for position, name in enumerate(given):
        if position:
            yield errors.forbidden(f"{path}.{name}", "may not specify more than 1 volume type")
        else:
            yield from sources[name](f"{path}.{PATH_NAMES.get(name, name)}", spec[name])


def _needs(*fields: str) -> Rule:
    """Fields that must not be empty."""

    def rule(path: str, source: Source) -> Iterator[FieldError]:
        for field in fields:
            if not source.get(field):
                yield errors.required(f"{path}.{field}")

    return rule


def _empty_dir(path: str, source: Source) -> Iterator[FieldError]:
    if list(check.plain_quantity(path, source.get("sizeLimit", "0"))):
        yield errors.forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")


def host_path(path: str, source: Source) -> Iterator[FieldError]:
    if not source.get("path"):
        yield errors.required(f"{path}.path")
        return
    yield from check.no_backsteps(f"{path}.path", source["path"])
    if (kind := source.get("type")) is not None:
        yield from check.one_of(f"{path}.type", kind, HOST_PATH_TYPES)


def _git_repo(path: str, source: Source) -> Iterator[FieldError]:
    yield from check.required(f"{path}.repository", source.get("repository"))
    yield from check.relative_path(f"{path}.directory", source.get("directory", ""))


def partitioned(name: str) -> Rule:
    def rule(path: str, source: Source) -> Iterator[FieldError]:
        yield from check.required(f"{path}.{name}", source.get(name))
        if not 0 <= source.get("partition", 0) <= 255:
            yield errors.invalid(f"{path}.partition", source["partition"], "must be between 1 and 255, inclusive")

    return rule


def nfs(path: str, source: Source) -> Iterator[FieldError]:
    yield from check.required(f"{path}.server", source.get("server"))
    yield from check.required(f"{path}.path", source.get("path"))
    if not source.get("path", "").startswith("/"):
        yield errors.invalid(f"{path}.path", source.get("path", ""), "must be an absolute path")


def iscsi(path: str, source: Source) -> Iterator[FieldError]:
    yield from check.required(f"{path}.targetPortal", source.get("targetPortal"))
    iqn = source.get("iqn", "")
    if not iqn:
        yield errors.required(f"{path}.iqn")
    elif not iqn.startswith(("iqn", "eui", "naa")):
        yield errors.invalid(f"{path}.iqn", iqn, "must be valid format starting with iqn, eui, or naa")
    else:
        yield from _iscsi_name(f"{path}.iqn", iqn)
    yield from check.between(f"{path}.lun", source.get("lun", 0), 0, 255)
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and source.get("secretRef") is None:
        yield errors.required(f"{path}.secretRef")
    if source.get("initiatorName") is not None:
        yield from _iscsi_name(f"{path}.initiatorname", source["initiatorName"])


def _iscsi_name(path: str, name: str) -> Iterator[FieldError]:
    for prefix, form in (("iqn", _IQN.search), ("eui", _EUI.fullmatch), ("naa", _NAA.fullmatch)):
        if name.startswith(prefix) and not form(name):
            yield errors.invalid(path, name, "must be valid format")


def _flocker(path: str, source: Source) -> Iterator[FieldError]:
    name, uid = source.get("datasetName", ""), source.get("datasetUUID", "")
    if not name and not uid:
        yield errors.required(path, "one of datasetName and datasetUUID is required")
    if name and uid:
        yield errors.invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously")
    if "/" in name:
        yield errors.invalid(f"{path}.datasetName", name, "must not contain '/'")


def _rbd(path: str, source: Source) -> Iterator[FieldError]:
    yield from check.required(f"{path}.monitors", source.get("monitors"))
    yield from check.required(f"{path}.image", source.get("image"))


def _cinder(path: str, source: Source) -> Iterator[FieldError]:
    yield from check.required(f"{path}.volumeID", source.get("volumeID"))
    if source.get("secretRef") is not None:
        yield from check.required(f"{path}.secretRef.name", source["secretRef"].get("name"))


def _quobyte(path: str, source: Source) -> Iterator[FieldError]:
    registry = source.get("registry", "")
    if not registry:
        yield errors.required(f"{path}.registry", "must be a host:port pair or multiple pairs separated by commas")
    elif len(source.get("tenant", "")) >= 65:
        yield errors.required(f"{path}.tenant", "must be a UUID and may not exceed a length of 64 characters")
    else:
        for pair in registry.split(","):
            if ":" not in pair:
                yield errors.invalid(f"{path}.registry", registry, "must be a host:port pair or multiple pairs separated by commas")
    yield from check.required(f"{path}.volume", source.get("volume"))


def fc(path: str, source: Source) -> Iterator[FieldError]:
    wwns, wwids, lun = source.get("targetWWNs") or (), source.get("wwids") or (), source.get("lun")
    if not wwns and not wwids:
        yield errors.required(f"{path}.targetWWNs", "must specify either targetWWNs or wwids, but not both")
    if wwns and wwids:
        yield errors.invalid(f"{path}.targetWWNs", wwns, "targetWWNs and wwids can not be specified simultaneously")
    if wwns and lun is None:
        yield errors.required(f"{path}.lun", "lun is required if targetWWNs is specified")
    elif wwns:
        yield from check.between(f"{path}.lun", lun, 0, 255)


def _flex(path: str, source: Source) -> Iterator[FieldError]:
    yield from check.required(f"{path}.driver", source.get("driver"))
    for key in source.get("options") or ():
        namespace = key.split("/")[0]
        if f".{namespace}".endswith((".kubernetes.io", ".k8s.io")):
            yield errors.invalid(f"{path}.options", key, 'key contains kubernetes reserved namespace "kubernetes.io, k8s.io"')


def azure_disk(path: str, source: Source) -> Iterator[FieldError]:
    uri, kind, caching = source.get("diskURI", ""), source.get("kind"), source.get("cachingMode")
    yield from check.required(f"{path}.diskName", source.get("diskName"))
    yield from check.required(f"{path}.diskURI", uri)
    if caching is not None:
        yield from check.one_of(f"{path}.cachingMode", caching, ("None", "ReadOnly", "ReadWrite"))
    if kind is not None:
        yield from check.one_of(f"{path}.kind", kind, ("Shared", "Dedicated", "Managed"))
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        yield errors.not_supported(f"{path}.diskURI", uri, (MANAGED_DISK,))
    if kind is not None and kind != "Managed" and not uri.startswith("https://"):
        yield errors.not_supported(f"{path}.diskURI", uri, (BLOB_DISK,))


def storage_os(path: str, source: Source) -> Iterator[FieldError]:
    if not source.get("volumeName"):
        yield errors.required(f"{path}.volumeName")
    else:
        yield from check.label(f"{path}.volumeName", source["volumeName"])
    if source.get("volumeNamespace"):
        yield from check.label(f"{path}.volumeNamespace", source["volumeNamespace"])
    if source.get("secretRef") is not None:
        yield from check.required(f"{path}.secretRef.name", source["secretRef"].get("name"))


def _scale_io(path: str, source: Source) -> Iterator[FieldError]:
    yield from check.required(f"{path}.gateway", source.get("gateway"))
    yield from check.required(f"{path}.system", source.get("system"))
    yield from check.required(f"{path}.volumeName", source.get("volumeName"))


def driver_name(path: str, name: str) -> Iterator[FieldError]:
    if not name:
        yield errors.required(path)
    if len(name) > DRIVER_NAME_MOST:
        yield errors.too_long(path, DRIVER_NAME_MOST)
    yield from check.because(path, name, names.dns_subdomain(name.lower()) if name else ())


def _csi(path: str, source: Source) -> Iterator[FieldError]:
    yield from driver_name(f"{path}.driver", source.get("driver", ""))
    secret = source.get("nodePublishSecretRef")
    if secret is not None:
        yield from check.required(f"{path}.nodePublishSecretRef.name", secret.get("name"))


def _ephemeral(path: str, source: Source) -> Iterator[FieldError]:
    template = source.get("volumeClaimTemplate")
    if template is None:
        yield errors.required(f"{path}.volumeClaimTemplate")
    else:
        yield from claims.spec(f"{path}.volumeClaimTemplate.spec", template.get("spec") or {})


def _image(path: str, source: Source) -> Iterator[FieldError]:
    yield from check.required(f"{path}.reference", source.get("reference"))
    yield from references.pull_policy(f"{path}.pullPolicy", source.get("pullPolicy", ""))


# Files that keys, fields and tokens become.


def file_mode(path: str, mode: int | None) -> Iterator[FieldError]:
    if mode is not None and not 0 <= mode <= 0o777:
        yield errors.invalid(path, mode, FILE_MODE)


def _keys_to_paths(path: str, items: Sequence[Source]) -> Iterator[FieldError]:
    for index, item in enumerate(items):
        yield from _key_to_path(f"{path}[{index}]", item)


def _key_to_path(path: str, item: Source) -> Iterator[FieldError]:
    yield from check.required(f"{path}.key", item.get("key"))
    yield from check.required(f"{path}.path", item.get("path"))
    yield from check.not_absolute(f"{path}.path", item.get("path", ""))
    yield from file_mode(f"{path}.mode", item.get("mode"))


def _secret(path: str, source: Source) -> Iterator[FieldError]:
    yield from check.required(f"{path}.secretName", source.get("secretName"))
    yield from file_mode(f"{path}.defaultMode", source.get("defaultMode"))
    yield from _keys_to_paths(f"{path}.items", source.get("items") or ())


def _config_map(path: str, source: Source) -> Iterator[FieldError]:
    yield from check.required(f"{path}.name", source.get("name"))
    yield from file_mode(f"{path}.defaultMode", source.get("defaultMode"))
    yield from _keys_to_paths(f"{path}.items", source.get("items") or ())


def _downward(path: str, source: Source) -> Iterator[FieldError]:
    yield from file_mode(f"{path}.defaultMode", source.get("defaultMode"))
    for item in source.get("items") or ():
        yield from _downward_file(path, item)


def _downward_file(path: str, item: Source) -> Iterator[FieldError]:
    yield from check.required(f"{path}.path", item.get("path"))
    yield from check.not_absolute(f"{path}.path", item.get("path", ""))
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is not None:
        yield from references.field(f"{path}.fieldRef", field, references.FIELDS_OF_VOLUMES)
        if resource is not None:
            yield errors.invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
    elif resource is not None:
        yield from references.resource(f"{path}.resourceFieldRef", resource, of_volume=True)
    else:
        yield errors.required(path, "one of fieldRef and resourceFieldRef is required")
    yield from file_mode(f"{path}.mode", item.get("mode"))


def _projected(path: str, source: Source) -> Iterator[FieldError]:
    yield from file_mode(f"{path}.defaultMode", source.get("defaultMode"))
    taken: set[str] = set()
    for index, projection in enumerate(source.get("sources") or ()):
        at = f"{path}.sources[{index}]"
        given = [name for name in PROJECTIONS if projection.get(name) is not None]
        for name in given:
            yield from PROJECTIONS[name](f"{at}.{name}", projection[name])
            yield from _conflicts(path, name, projection[name], taken)
        if len(given) > 1:
            yield errors.forbidden(at, "may not specify more than 1 volume type per source")


def _conflicts(path: str, kind: str, projection: Source, taken: set[str]) -> Iterator[FieldError]:
    """Two sources must not write the same file."""
    files = [projection] if kind in ("serviceAccountToken", "clusterTrustBundle") else projection.get("items") or ()
    for file in files:
        target = file.get("path", "")
        if target and target in taken:
            yield errors.invalid(path, projection.get("name", target) if kind != "downwardAPI" else target, "conflicting duplicate paths")
        taken.add(target)


def _named_items(path: str, projection: Source) -> Iterator[FieldError]:
    yield from check.required(f"{path}.name", projection.get("name"))
    yield from _keys_to_paths(f"{path}.items", projection.get("items") or ())


def _downward_items(path: str, projection: Source) -> Iterator[FieldError]:
    for item in projection.get("items") or ():
        yield from _downward_file(path, item)


def _token(path: str, projection: Source) -> Iterator[FieldError]:
    seconds = projection.get("expirationSeconds", 0)
    if seconds < TOKEN_LEAST_SECONDS:
        yield errors.invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
    if seconds > TOKEN_MOST_SECONDS:
        yield errors.invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
    if not projection.get("path"):
        yield errors.required(f"{path}.path")
    else:
        yield from check.not_absolute(f"{path}.path", projection["path"])


def _trust_bundle(path: str, projection: Source) -> Iterator[FieldError]:
    name, signer = projection.get("name"), projection.get("signerName")
    if name is None and signer is None:
        yield errors.required(path, "either name or signerName must be specified")
    elif name is not None and signer is not None:
        yield errors.invalid(path, "", "only one of name and signerName may be used")
    elif signer is not None and not signer:
        yield errors.required(f"{path}.signerName")
    if not projection.get("path"):
        yield errors.required(f"{path}.path")
    else:
        yield from check.not_absolute(f"{path}.path", projection["path"])


PROJECTIONS: Mapping[str, Rule] = {
    "secret": _named_items,
    "configMap": _named_items,
    "downwardAPI": _downward_items,
    "serviceAccountToken": _token,
    "clusterTrustBundle": _trust_bundle,
    "podCertificate": _needs("signerName", "keyType"),
}
PATH_NAMES = {"gcePersistentDisk": "persistentDisk"}  # as Kubernetes' own paths say it
SOURCES: Mapping[str, Rule] = {
    "emptyDir": _empty_dir,
    "hostPath": host_path,
    "gitRepo": _git_repo,
    "gcePersistentDisk": partitioned("pdName"),
    "awsElasticBlockStore": partitioned("volumeID"),
    "secret": _secret,
    "nfs": nfs,
    "iscsi": iscsi,
    "glusterfs": _needs("endpoints", "path"),
    "flocker": _flocker,
    "persistentVolumeClaim": _needs("claimName"),
    "rbd": _rbd,
    "cinder": _cinder,
    "cephfs": _needs("monitors"),
    "quobyte": _quobyte,
    "downwardAPI": _downward,
    "fc": fc,
    "flexVolume": _flex,
    "configMap": _config_map,
    "azureFile": _needs("secretName", "shareName"),
    "vsphereVolume": _needs("volumePath"),
    "photonPersistentDisk": _needs("pdID"),
    "portworxVolume": _needs("volumeID"),
    "azureDisk": azure_disk,
    "storageos": storage_os,
    "projected": _projected,
    "scaleIO": _scale_io,
    "csi": _csi,
    "ephemeral": _ephemeral,
    "image": _image,
}
