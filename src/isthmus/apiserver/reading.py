"""Get and list: which records a caller asked for, as of which version."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from isthmus.api.scheme import Manifest
from isthmus.apiserver.call import number
from isthmus.apiserver.kinds import Kind
from isthmus.apiserver.selectors import Requirement, fields_of, parse_fields, parse_labels
from isthmus.apiserver.status import (
    bad_request,
    expired,
    forbidden_option,
    not_found,
    unsupported_option,
    version_too_large,
)
from isthmus.apiserver.storage import Collection, Key, Record, Storage
from isthmus.errors import Gone

EXACT, NOT_OLDER = "Exact", "NotOlderThan"
EXPIRED_CONTINUE = (
    "The provided continue parameter is too old to display a consistent list result. "
    "You must start a new list without the continue parameter."
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a kind are meant: by namespace, labels and fields."""

    namespace: str | None
    labels: tuple[Requirement, ...]
    fields: tuple[Requirement, ...]
    pick: Callable[[Manifest], Mapping[str, str]]

    @classmethod
    def parse(cls, kind: Kind, namespace: str, query: Mapping[str, str]) -> "Selection":
        """Read the selectors of a query. Raises Refused (400)."""
        return cls(
            namespace or None,
            parse_labels(query.get("labelSelector", "")),
            parse_fields(query.get("fieldSelector", ""), kind),
            fields_of(kind),
        )

    def takes(self, record: Record) -> bool:
        """Whether `record` is meant."""
        if self.namespace is not None and record.key[0] != self.namespace:
            return False
        if self.labels and not all(wanted.met_by(record.labels) for wanted in self.labels):
            return False
        return not self.fields or all(wanted.met_by(record.fields(self.pick)) for wanted in self.fields)

    @property
    def everything(self) -> bool:
        """Whether neither labels nor fields narrow it."""
        return not self.labels and not self.fields


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a list, and how to go on."""

    records: Sequence[Record]
    metadata: Manifest


class _Token(msgspec.Struct):
    """Where a list goes on: after `key`, as of `revision`."""

    revision: int
    key: Key


def get(collection: Collection, kind: Kind, key: Key) -> Record:
    """One object. Raises NotFound."""
    record = collection.get(key)
    if record is None:
        raise not_found(kind, key[1])
    return record


def list_page(storage: Storage, kind: Kind, selection: Selection, query: Mapping[str, str]) -> Page:
    """The objects meant, `limit` at a time.

    Raises Gone when the version asked for is forgotten or not yet reached, Refused when the query contradicts
    itself.
    """
    collection = storage.collection(kind.collection)
    limit = number(query, "limit")
    after: Key | None = None
    if token := query.get("continue", ""):
        if query.get("resourceVersion", "") not in {"", "0"}:
            raise bad_request("specifying resource version is not allowed when using continue")
        revision, after = _decode_token(token)
        records = _past(collection, revision, selection.namespace)
    else:
        revision, records = _at_version(storage, collection, selection.namespace, query)
    meant = records if selection.everything else [each for each in records if selection.takes(each)]
    if after is not None:
        meant = [record for record in meant if record.key > after]
    metadata: Manifest = {"resourceVersion": str(revision)}
    if not limit or len(meant) <= limit:
        return Page(meant, metadata)
    metadata["continue"] = _encode_token(_Token(revision, meant[limit - 1].key))
    # With selectors the real server does not know how many are left, and says nothing.
    if selection.everything:
        metadata["remainingItemCount"] = len(meant) - limit
    return Page(meant[:limit], metadata)


def _at_version(
    storage: Storage, collection: Collection, namespace: str | None, query: Mapping[str, str]
) -> tuple[int, list[Record]]:
    match, wanted = query.get("resourceVersionMatch", ""), number(query, "resourceVersion")
    if match not in {"", EXACT, NOT_OLDER}:
        raise unsupported_option("ListOptions", "resourceVersionMatch", match, [EXACT, NOT_OLDER, ""])
    if match and not query.get("resourceVersion"):
        raise forbidden_option(
            "resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"
        )
    if wanted > storage.revision:
        raise version_too_large(wanted, storage.revision)
    # A limited list at a version is an exact one, unless it says otherwise: so the real server has it.
    exact = match == EXACT or (not match and wanted > 0 and number(query, "limit") > 0)
    if not exact:
        return storage.revision, list(collection.within(namespace))
    if wanted == 0:
        why = 'resourceVersionMatch "Exact" is forbidden for resourceVersion "0"'
        raise forbidden_option("resourceVersionMatch", why)
    return wanted, collection.at(wanted, namespace)


def _past(collection: Collection, revision: int, namespace: str | None) -> list[Record]:
    try:
        return collection.at(revision, namespace)
    except Gone as error:
        raise expired(EXPIRED_CONTINUE) from error


def _encode_token(token: _Token) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).decode().rstrip("=")


def _decode_token(token: str) -> tuple[int, Key]:
    try:
        padded = token + "=" * (-len(token) % 4)
        found = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=_Token)
    except (ValueError, msgspec.MsgspecError) as error:
        raise bad_request(
            "invalid continue token: continue key is not valid: it was not made by this server"
        ) from error
    return found.revision, found.key
