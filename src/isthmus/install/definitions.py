"""Whether a definition (CRD) is made, renewed or left as it is: never back to an older one, nothing of others taken.

Catalogue `mcs.md` 1.1 and 1.5.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from isthmus.api.crds import RELEASE_LABEL, REVISION_LABEL
from isthmus.api.isthmus import GROUP, MANAGED_BY, MARKER_LABEL
from isthmus.api.scheme import Manifest

# Which release of Isthmus a definition without the SIG's labels comes from.
OUR_RELEASE_LABEL: Final = "isthmus.dev/release-version"
_OWNER_LABEL: Final = "app.kubernetes.io/managed-by"
_RELEASE: Final = re.compile(r"v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:-([0-9A-Za-z.-]{1,100}))?(?:\+.*)?")

_Part = tuple[int, int, str]
Age = tuple[tuple[int, int, int], tuple[_Part, ...], int]


class Act(Enum):
    """What is done with a definition."""

    MAKE = "make"
    RENEW = "renew"
    KEEP = "keep"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Decision:
    """What is done, and why."""

    act: Act
    why: str


def decide(seen: Manifest | None, wanted: Manifest) -> Decision:
    """What becomes of a definition in the cluster, `seen`, of which we bring `wanted`."""
    if seen is None:
        return Decision(Act.MAKE, "it is not there")
    labels = seen["metadata"].get("labels") or {}
    owner = labels.get(_OWNER_LABEL, "")
    ours = labels.get(MARKER_LABEL) == MANAGED_BY or wanted["spec"]["group"] == GROUP
    lacking = sorted(_versions(wanted) - _versions(seen))
    if surplus := sorted(_versions(seen) - _versions(wanted)):
        return _stay(lacking, f"it has version {', '.join(surplus)}, which is newer than ours")
    theirs, mine = age(seen), age(wanted)
    if theirs is None:
        return _stay(lacking, "its release cannot be read from its labels")
    if mine is not None and theirs > mine:
        return _stay(lacking, f"it is of release {labels.get(RELEASE_LABEL) or labels.get(OUR_RELEASE_LABEL)}, newer")
    if ours:
        return Decision(Act.RENEW, "it is ours")
    if owner:
        return _stay(lacking, f"it is managed by {owner}")
    if not lacking and RELEASE_LABEL not in (wanted["metadata"].get("labels") or {}):
        return Decision(Act.KEEP, "somebody else made it, and it has the versions that we need")
    if not lacking and theirs == mine:
        return Decision(Act.KEEP, "it is of the same release")
    return Decision(Act.RENEW, "it is older than ours")


def _stay(lacking: list[str], why: str) -> Decision:
    if lacking:
        return Decision(Act.REFUSE, f"{why}, and does not serve {', '.join(lacking)}")
    return Decision(Act.KEEP, why)


def age(definition: Manifest) -> Age | None:
    """The release and the revision of its schema, to be compared; the oldest without labels, None if not readable."""
    labels = definition["metadata"].get("labels") or {}
    release = labels.get(RELEASE_LABEL) or labels.get(OUR_RELEASE_LABEL)
    revision = labels.get(REVISION_LABEL) or "0"
    if release is None:
        return ((0, 0, 0), (), 0)
    match = _RELEASE.fullmatch(release)
    if match is None or not revision.isdecimal() or len(revision) > 9:
        return None
    major, minor, patch, pre = match.groups()
    return ((int(major), int(minor), int(patch)), _precedence(pre), int(revision))


def _precedence(pre: str | None) -> tuple[_Part, ...]:
    """By Semantic Versioning 2.0.0, 11: a pre-release comes before its release; numbers before words."""
    if pre is None:
        return ((2, 0, ""),)
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in pre.split("."))


def stale_versions(definition: Manifest) -> list[str]:
    """Versions in which objects may still be stored though another one is the storage version now."""
    stored = (definition.get("status") or {}).get("storedVersions") or []
    return [version for version in stored if version != storage_version(definition)]


def storage_version(definition: Manifest) -> str:
    """The version in which objects are stored now."""
    return next((str(each["name"]) for each in definition["spec"]["versions"] if each.get("storage")), "")


def renewed(seen: Manifest, wanted: Manifest) -> Manifest:
    """The definition as it is to be written: our spec, and of its metadata what others put there too."""
    metadata = dict(seen["metadata"])
    for field in ("labels", "annotations"):
        both = {**(metadata.get(field) or {}), **(wanted["metadata"].get(field) or {})}
        if field == "labels" and MARKER_LABEL not in (seen["metadata"].get("labels") or {}):
            # Not ours before, not ours now: uninstalling leaves it.
            both = {key: value for key, value in both.items() if not key.startswith("isthmus.dev/")}
        metadata[field] = both
    metadata.pop("managedFields", None)
    return {**wanted, "metadata": metadata}


def _versions(definition: Manifest) -> set[str]:
    return {str(each["name"]) for each in definition["spec"]["versions"] if each.get("served")}
