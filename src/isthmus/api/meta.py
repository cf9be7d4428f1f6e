"""What every Kubernetes object carries: metadata, conditions, Status."""

from datetime import datetime
from typing import Annotated, dataclass_transform

import msgspec
from msgspec import Meta


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class WireMeta(msgspec.StructMeta):
    """Lets type checkers know that subclasses of `Wire` are frozen and built by keyword."""


# Frozen, and made of JSON: no cycles for the garbage collector to look for, which doubles the decoding of a list.
class Wire(msgspec.Struct, metaclass=WireMeta, frozen=True, omit_defaults=True, rename="camel", gc=False):
    """Base of all wire types: frozen, camelCase on the wire, unset fields left out."""


class OwnerReference(Wire):
    """The object that this one goes with."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(Wire):
    """Kubernetes' ObjectMeta, without managedFields, which nobody here reads."""

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()


CONDITION_TYPE = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
)
CONDITION_REASON = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"


class Condition(Wire):
    """One observation of an object's state (Kubernetes API conventions)."""

    type: Annotated[str, Meta(max_length=316, pattern=CONDITION_TYPE)]
    status: Annotated[str, Meta(extra_json_schema={"enum": ["True", "False", "Unknown"]})]
    reason: Annotated[str, Meta(min_length=1, max_length=1024, pattern=CONDITION_REASON)]
    message: Annotated[str, Meta(max_length=32768)]
    last_transition_time: datetime
    observed_generation: Annotated[int, Meta(ge=0)] = 0


Conditions = Annotated[
    tuple[Condition, ...],
    Meta(extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
]


class Object(Wire):
    """What all kinds have in common."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()


class ListMeta(Wire):
    """The metadata of a list."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")
    remaining_item_count: int | None = None


class Status(Wire):
    """Kubernetes' answer when there is no object to answer with."""

    kind: str = "Status"
    api_version: str = "v1"
    metadata: ListMeta = ListMeta()
    status: str = ""
    message: str = ""
    reason: str = ""
    details: dict[str, object] | None = None
    code: int = 0
