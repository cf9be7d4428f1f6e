"""How records leave the server: whole objects, Tables or metadata, one by one, as lists, as watch events."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from isthmus.api.scheme import Manifest
from isthmus.apiserver import conversion
from isthmus.apiserver.call import OBJECT, PARTIAL, TABLE, YAML, Form, to_yaml
from isthmus.apiserver.kinds import Kind
from isthmus.apiserver.storage import Record
from isthmus.apiserver.table import columns_of, row_of

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
            head = _encode({"kind": kind, "apiVersion": api_version, "metadata": metadata})
            body = head[:-1] + b',"items":[' + b",".join(map(self._item, records)) + b"]}"
        return to_yaml(_decode(body)) if self.form.media_type == YAML else body

    def event(self, change: str, record: Record) -> bytes:
        """One line of a watch."""
        return b'{"type":"' + change.encode() + b'","object":' + self._item(record) + b"}\n"

    def bookmark(self, revision: int, *, initial: bool = False) -> bytes:
        """The line that says: everything up to `revision` has been sent."""
        metadata: Manifest = {"resourceVersion": str(revision), "creationTimestamp": None}
        if initial:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        empty: Manifest = {"kind": self.kind.kind, "apiVersion": self.kind.api_version, "metadata": metadata}
        if self.form.shape == PARTIAL:
            empty |= {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
        elif self.form.shape == TABLE:
            row = {"cells": [], "object": empty}
            empty = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {}}
            empty |= {"metadata": {"resourceVersion": str(revision)}, "columnDefinitions": [], "rows": [row]}
        return _encode({"type": "BOOKMARK", "object": empty}) + b"\n"

    def _table(self, records: Sequence[Record], metadata: Manifest) -> Manifest:
        rows = []
        for record in records:
            manifest: Manifest = _decode(conversion.as_served(record, self.kind))
            row: Manifest = {"cells": row_of(self.kind, manifest, self.now)}
            if self.include_object == "Object":
                row["object"] = manifest
            elif self.include_object != "None":
                row["object"] = partial(manifest)
            rows.append(row)
        return {
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata,
            "columnDefinitions": columns_of(self.kind),
            "rows": rows,
        }


def partial(manifest: Manifest) -> Manifest:
    """The object's metadata alone."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": manifest["metadata"],
    }
