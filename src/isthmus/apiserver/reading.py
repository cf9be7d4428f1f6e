"""Get and list: which records a caller asked for, as of which version."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from isthmus.api.scheme import Manifest
from isthmus.apiserver.call import number, revision
from isthmus.apiserver.causes import forbidden, unsupported
from isthmus.apiserver.kinds import Kind
from isthmus.apiserver.labels import parse_labels
from isthmus.apiserver.schema import invalid
from isthmus.apiserver.selectors import Requirement, fields_of, parse_fields
from isthmus.apiserver.status import bad_request, expired, not_found, version_too_large
from isthmus.apiserver.storage import Collection, Key, Record, Storage
from isthmus.errors import Gone, Refused

EXACT, NOT_OLDER = "Exact", "NotOlderThan"
# A continue token that goes on with what is there now.
LATEST = -1
UNREADABLE = "invalid continue token: continue key is not valid"
EXPIRED_CONTINUE = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list "
    "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
    "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
    "modified, or deleted between the time the first chunk was returned and now may show up in the list."
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


def get_at(storage: Storage, kind: Kind, key: Key, query: Mapping[str, str]) -> Record:
    """One object, no older than the query asks for. Raises NotFound, Gone when that version is not yet reached."""
    if (wanted := revision(query)) > storage.revision:
        raise version_too_large(wanted, storage.revision)
    return get(storage.collection(kind.collection), kind, key)


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
    limit = max(0, number(query, "limit"))
    number(query, "timeoutSeconds")
    _check_options(query)
    after: Key | None = None
    if token := query.get("continue", ""):
        if query.get("resourceVersion", "") not in {"", "0"}:
            raise bad_request("specifying resource version is not allowed when using continue")
        at, after = _decode_token(token)
        records = _past(collection, at, selection.namespace, after)
        at = at if at > 0 else storage.revision
    else:
        at, records = _at_version(storage, collection, selection.namespace, query)
        if query.get("resourceVersion") == "0":
            # Any version will do, and then the real server has all of them at hand.
            limit = 0
    meant = records if selection.everything else [each for each in records if selection.takes(each)]
    if after is not None:
        meant = [record for record in meant if record.key > after]
    metadata: Manifest = {"resourceVersion": str(at)}
    if not limit or len(meant) <= limit:
        return Page(meant, metadata)
    metadata["continue"] = _encode_token(_Token(at, meant[limit - 1].key))
    # With selectors the real server does not know how many are left, and says nothing.
    if selection.everything:
        metadata["remainingItemCount"] = len(meant) - limit
    return Page(meant[:limit], metadata)


def _at_version(
    storage: Storage, collection: Collection, namespace: str | None, query: Mapping[str, str]
) -> tuple[int, list[Record]]:
    try:
        match, wanted = query.get("resourceVersionMatch", ""), revision(query)
    except Refused as error:
        raise bad_request(f"invalid resource version: {error.message}") from error
    if wanted > storage.revision:
        raise version_too_large(wanted, storage.revision)
    # A limited list at a version is an exact one, unless it says otherwise: so the real server has it.
    exact = match == EXACT or (not match and wanted > 0 and number(query, "limit") > 0)
    if not exact:
        return storage.revision, list(collection.within(namespace))
    try:
        return wanted, collection.at(wanted, namespace)
    except Gone as error:
        raise expired("The resourceVersion for the provided list is too old.") from error


def _check_options(query: Mapping[str, str]) -> None:
    """Raise Refused (422) when the options of a list contradict each other."""
    match, field, causes = query.get("resourceVersionMatch", ""), "resourceVersionMatch", []
    if match and not query.get("resourceVersion"):
        causes.append(forbidden(field, f"{field} is forbidden unless resourceVersion is provided"))
    if match and query.get("continue"):
        causes.append(forbidden(field, f"{field} is forbidden when continue is provided"))
    if match not in {"", EXACT, NOT_OLDER}:
        causes.append(unsupported(field, match, [EXACT, NOT_OLDER, ""]))
    if match == EXACT and query.get("resourceVersion") == "0":
        causes.append(forbidden(field, f'{field} "exact" is forbidden for resourceVersion "0"'))
    if "sendInitialEvents" in query:
        causes.append(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    if causes:
        raise invalid("ListOptions", "meta.k8s.io", "", causes)


def _past(collection: Collection, at: int, namespace: str | None, after: Key) -> list[Record]:
    if at == LATEST:
        return list(collection.within(namespace))
    try:
        return collection.at(at, namespace)
    except Gone as error:
        # Who can live with a list of two times goes on with this one.
        raise expired(EXPIRED_CONTINUE, _encode_token(_Token(LATEST, after))) from error


def _encode_token(token: _Token) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).decode().rstrip("=")


def _decode_token(token: str) -> tuple[int, Key]:
    try:
        padded = token + "=" * (-len(token) % 4)
        found = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=_Token)
    except (ValueError, msgspec.MsgspecError) as error:
        raise bad_request(f"{UNREADABLE}: it was not made by this server") from error
    return found.revision, found.key
