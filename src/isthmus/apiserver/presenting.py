"""How records leave the server: whole objects, Tables or metadata, one by one, as lists, as watch events."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from isthmus.api.scheme import Manifest
from isthmus.apiserver import conversion
from isthmus.apiserver.call import OBJECT, PARTIAL, TABLE, YAML, Form, to_yaml
from isthmus.apiserver.kinds import Kind
from isthmus.apiserver.storage import Record
from isthmus.apiserver.table import columns_of, conditions_of, row_of

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Presenter:
    """One kind, in the form that one caller asked for."""

    kind: Kind
    form: Form
    now: datetime
    include_object: str = "Metadata"

    def one(self, record: Record) -> bytes:
        """One object as a whole answer."""
        body = self._item(record)
        return to_yaml(_decode(body)) if self.form.media_type == YAML else body

    def _item(self, record: Record) -> bytes:
        if self.form.shape == OBJECT:
            return conversion.as_served(record, self.kind)
        if self.form.shape == PARTIAL:
            return _encode(partial(record.manifest()))
        return _encode(self._table([record], {"resourceVersion": str(record.revision)}))

    def many(self, records: Sequence[Record], metadata: Manifest) -> bytes:
        """A list of objects as a whole answer."""
        if self.form.shape == TABLE:
            body = _encode(self._table(records, metadata))
        else:
            kind, api_version = self.kind.list_kind or f"{self.kind.kind}List", self.kind.api_version
            if self.form.shape == PARTIAL:
                kind, api_version = "PartialObjectMetadataList", "meta.k8s.io/v1"
            if self.kind.custom and self.form.shape == OBJECT:
                metadata = {"continue": ""} | metadata
            head = _encode({"kind": kind, "apiVersion": api_version, "metadata": metadata})
            body = head[:-1] + b',"items":[' + b",".join(self._listed(records)) + b"]}"
        return to_yaml(_decode(body)) if self.form.media_type == YAML else body

    def _listed(self, records: Sequence[Record]) -> Iterator[bytes]:
        """The items of a list: those of Go's own lists do not say their type, which the list says."""
        if self.kind.custom or self.form.shape != OBJECT:
            return map(self._item, records)
        told = _encode({"apiVersion": self.kind.api_version, "kind": self.kind.kind})[:-1] + b","
        return (b"{" + each.removeprefix(told) if each.startswith(told) else each for each in map(self._item, records))

    def event(self, change: str, record: Record, *, first: bool = False) -> bytes:
        """One line of a watch; of Tables, only the first says which columns there are."""
        body = self._item(record)
        if self.form.shape == TABLE and not first:
            body = _encode(_decode(body) | {"columnDefinitions": None})
        return b'{"type":"' + change.encode() + b'","object":' + body + b"}\n"

    def bookmark(self, revision: int, *, initial: bool = False) -> bytes:
        """The line that says: everything up to `revision` has been sent."""
        metadata: Manifest = {"resourceVersion": str(revision)}
        if initial:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        empty: Manifest = {"kind": self.kind.kind, "apiVersion": self.kind.api_version, "metadata": metadata}
        if self.form.shape == PARTIAL:
            empty |= {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
        elif self.form.shape == TABLE:
            row = {"cells": row_of(self.kind, {"metadata": {}}, self.now), "object": partial(empty)}
            empty = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {}}
            empty |= {"metadata": {"resourceVersion": str(revision)}, "columnDefinitions": None, "rows": [row]}
        return _encode({"type": "BOOKMARK", "object": empty}) + b"\n"

    def _table(self, records: Sequence[Record], metadata: Manifest) -> Manifest:
        rows = []
        for record in records:
            manifest: Manifest = _decode(conversion.as_served(record, self.kind))
            row: Manifest = {"cells": row_of(self.kind, manifest, self.now)}
            if conditions := conditions_of(self.kind, manifest):
                row["conditions"] = conditions
            if self.include_object == "Object":
                row["object"] = manifest
            else:
                row["object"] = partial(manifest) if self.include_object != "None" else None
            rows.append(row)
        return {
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata,
            "columnDefinitions": columns_of(self.kind),
            "rows": rows or (None if not self.kind.custom else []),
        }


def partial(manifest: Manifest) -> Manifest:
    """The object's metadata alone."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": manifest["metadata"],
    }
