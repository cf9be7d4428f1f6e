"""CustomResourceDefinitions out of wire types: what a type cannot read, an API server does not store.

The schemas are structural (Kubernetes, "Specifying a structural schema"): references inlined, no defaults, no nulls.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import inspect

from isthmus.api.meta import Object, ObjectMeta
from isthmus.api.scheme import Manifest, Resource, T

# Kubernetes declares these as int32, whatever the type; all other integers are int64.
_INT32 = frozenset({"port", "timeoutSeconds"})


@dataclass(frozen=True)
class Version:
    """One version of a kind; all of ours have the same schema, so conversion rewrites `apiVersion` only."""

    name: str
    stored: bool = False
    status: bool = True


@dataclass(frozen=True)
class Column:
    """What `kubectl get` shows besides the name."""

    name: str
    type: str
    path: str
    description: str = ""


@dataclass(frozen=True)
class Names:
    """How people name the kind, and what its CustomResourceDefinition carries."""

    singular: str
    short: Sequence[str] = ()
    categories: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


def crd(resource: Resource[T], names: Names, versions: Sequence[Version], columns: Sequence[Column]) -> Manifest:
    """The CustomResourceDefinition of the resource, as `kubectl apply` takes it."""
    spelt: Manifest = {
        "kind": resource.kind,
        "listKind": f"{resource.kind}List",
        "plural": resource.plural,
        "singular": names.singular,
    }
    if names.short:
        spelt["shortNames"] = list(names.short)
    if names.categories:
        spelt["categories"] = list(names.categories)
    metadata: Manifest = {"name": f"{resource.plural}.{resource.group}"}
    if names.labels:
        metadata["labels"] = dict(names.labels)
    if names.annotations:
        metadata["annotations"] = dict(names.annotations)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": {
            "group": resource.group,
            "names": spelt,
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "versions": [_version(version, resource, columns) for version in versions],
        },
    }


def _version(version: Version, resource: Resource[T], columns: Sequence[Column]) -> Manifest:
    manifest: Manifest = {
        "name": version.name,
        "served": True,
        "storage": version.stored,
        "schema": {"openAPIV3Schema": schema(resource.type)},
    }
    if columns:
        manifest["additionalPrinterColumns"] = [_column(column) for column in columns]
    if version.status:
        manifest["subresources"] = {"status": {}}
    return manifest


def _column(column: Column) -> Manifest:
    manifest: Manifest = {"name": column.name, "type": column.type, "jsonPath": column.path}
    if column.description:
        manifest["description"] = column.description
    return manifest


def schema(wire: type) -> Manifest:
    """The structural schema of an object's type; its metadata is the API server's own business."""
    info = inspect.type_info(wire)
    if not isinstance(info, inspect.StructType) or not issubclass(info.cls, Object):
        raise TypeError(f"{wire!r} is no wire type of a Kubernetes object")
    return _schema(info)


def _schema(info: inspect.Type) -> Manifest:
    extra: Manifest = {}
    if isinstance(info, inspect.Metadata):
        extra = dict(info.extra_json_schema or {})
        info = info.type
        if "type" in extra:
            # Told whole: Python knows no closer type for it.
            return extra
    if isinstance(info, inspect.UnionType):
        # A field that may be null in Python is one that may be absent on the wire.
        (info,) = (each for each in info.types if not isinstance(each, inspect.NoneType))
        return {**_schema(info), **extra}
    return {**_plain(info), **extra}


def _plain(info: inspect.Type) -> Manifest:
    match info:
        case inspect.StructType():
            return _struct(info)
        case inspect.VarTupleType():
            return {
                "type": "array",
                "items": _schema(info.item_type),
                **_bounds(minItems=info.min_length, maxItems=info.max_length),
            }
        case inspect.DictType():
            return {
                "type": "object",
                "additionalProperties": _schema(info.value_type),
                **_bounds(minProperties=info.min_length, maxProperties=info.max_length),
            }
        case inspect.StrType():
            bounds = _bounds(minLength=info.min_length, maxLength=info.max_length, pattern=info.pattern)
            return {"type": "string", **bounds}
        case inspect.DateTimeType():
            return {"type": "string", "format": "date-time"}
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.IntType():
            most = info.le if info.lt is None else info.lt - 1
            return {"type": "integer", "format": "int64", **_bounds(minimum=info.ge, maximum=most)}
    raise TypeError(f"no schema is known for {info!r}")


def _struct(info: inspect.StructType) -> Manifest:
    if info.cls is ObjectMeta:
        return {"type": "object"}
    properties: Manifest = {}
    for each in info.fields:
        properties[each.encode_name] = _schema(each.type)
        if each.encode_name in _INT32:
            properties[each.encode_name]["format"] = "int32"
    manifest: Manifest = {"type": "object"}
    if info.cls.__doc__:
        manifest["description"] = info.cls.__doc__.partition("\n")[0]
    if properties:
        manifest["properties"] = properties
    if required := [each.encode_name for each in info.fields if each.required]:
        manifest["required"] = required
    return manifest


def _bounds(**limits: str | float | None) -> Manifest:
    return {name: limit for name, limit in limits.items() if limit is not None}
