"""Which pods are a workload's: by controller reference, and by labels where nobody has them yet."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from isthmus.api.apps import LabelSelector, SelectorRequirement
from isthmus.api.meta import Object, OwnerReference

T = TypeVar("T", bound=Object)


@dataclass(frozen=True, slots=True)
class Claim(Generic[T]):
    """What a workload has, what it takes because nobody has it, what it lets go."""

    owned: tuple[T, ...]
    adopted: tuple[T, ...]
    released: tuple[T, ...]


def selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Whether these labels match; a selector without terms matches nothing here."""
    if not selector.match_labels and not selector.match_expressions:
        return False
    return all(labels.get(key) == value for key, value in selector.match_labels.items()) and all(
        _fulfils(labels, requirement) for requirement in selector.match_expressions
    )


def _fulfils(labels: Mapping[str, str], requirement: SelectorRequirement) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value in requirement.values
        case "NotIn":
            return value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case _:
            return False


def controller_of(item: Object) -> OwnerReference | None:
    """The one owner that manages this object, if it has one."""
    return next((owner for owner in item.metadata.owner_references if owner.controller), None)


def is_controlled_by(item: Object, owner: Object) -> bool:
    """Whether `owner` manages `item`; names do not count, uids do."""
    controller = controller_of(item)
    return controller is not None and controller.uid == owner.metadata.uid


def claim(owner: Object, selector: LabelSelector, items: Iterable[T]) -> Claim[T]:
    """What of `items`, all of the owner's namespace, belongs to it.

    An orphan that matches is adopted, an own one that no longer matches released; nothing is adopted while
    either is being deleted.
    """
    owned: list[T] = []
    adopted: list[T] = []
    released: list[T] = []
    for item in items:
        matches = selects(selector, item.metadata.labels)
        if controller_of(item) is not None:
            if is_controlled_by(item, owner):
                (owned if matches else released).append(item)
        elif matches and item.metadata.deletion_timestamp is None and owner.metadata.deletion_timestamp is None:
            adopted.append(item)
    return Claim(tuple(owned), tuple(adopted), tuple(released))


def owner_reference(owner: Object, *, kind: str) -> OwnerReference:
    """The reference that makes apps/v1 `kind` `owner` the controller of an object."""
    return OwnerReference(
        api_version="apps/v1",
        kind=kind,
        name=owner.metadata.name,
        uid=owner.metadata.uid,
        controller=True,
        block_owner_deletion=True,
    )
