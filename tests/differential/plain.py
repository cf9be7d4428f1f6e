"""Answers without what two servers cannot agree on: identities, versions, times, and addresses handed out.

What is one server's own is numbered in the order in which it came up, so that two answers which name the same
object, or the same version of it, stay alike, and those which do not differ.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
ADDRESS = re.compile(r"\b10\.1\.(12[89]|1[3-9]\d|2\d\d)\.\d{1,3}\b|fd69:1:1::[0-9a-f]+")
CURRENT = re.compile(r"current: \d+|too old resource version: \d+ \(\d+\)|in record \(\d+\)")
MADE = re.compile(r"(gen[-_])[a-z0-9]{5}\b", re.IGNORECASE)
NODE_PORT = re.compile(r"(?<=:)3[0-2]\d{3}(?=/(TCP|UDP|SCTP))")
AGE = re.compile(r"^\d+[smhd](\d+[smh])?$")
TOKEN = re.compile(r"kube-api-access-\w{5}")
# A patch that cannot be read is quoted with all the object that it made: Go's order of fields, our order.
PATCHED = re.compile(r'Invalid value: "(\{|map\[).*(\}|\])": ')
LATELY = timedelta(hours=2)


class Plain:
    """Makes the answers of one server to one sequence comparable."""

    def __init__(self, kept: Mapping[str, str]) -> None:
        self._kept = kept
        self._uids: dict[str, str] = {}
        self._versions: dict[str, list[str]] = {}

    def value(self, value: object, key: str = "") -> object:
        """The value, made comparable; `key` is the member that it is."""
        if isinstance(value, dict):
            return self._object(value, key)
        if isinstance(value, list):
            items = [self.value(item) for item in value]
            if key == "causes":
                # The real server gives a cause as often as its validators find it.
                return [item for index, item in enumerate(items) if item not in items[:index]]
            return sorted(items, key=_text) if key == "managedFields" else items
        if isinstance(value, str):
            return _term(value) if key == "expirationTimestamp" else self.text(value)
        if key == "nodePort" and isinstance(value, int) and 30000 <= value < 32768:
            return "<node port>"
        return value

    def _object(self, value: dict[str, object], key: str) -> object:
        plain = {self.text(name): self.value(value[name], name) for name in sorted(value)}
        if key != "metadata":
            return plain
        version, uid = value.get("resourceVersion"), value.get("uid")
        if isinstance(version, str) and version:
            plain["resourceVersion"] = self._version(str(uid), version) if uid else "<version>"
        if value.get("continue"):
            plain["continue"] = "<token>"
        made = value.get("generateName")
        if isinstance(made, str) and str(value.get("name", "")).startswith(made[:58]):
            plain["name"] = re.sub(r".{5}$", "<5>", str(value["name"]))
        return plain

    def _version(self, uid: str, version: str) -> str:
        seen = self._versions.setdefault(uid, [])
        if version not in seen:
            seen.append(version)
        return f"<version {seen.index(version)}>"

    def text(self, text: str) -> str:
        """Text without what is this server's own."""
        if text.startswith("-----BEGIN"):
            return "<certificate>"
        text = CURRENT.sub("current: <version>", text)
        for name, value in self._kept.items():
            if name != "ns" and value and len(value) > 1:
                text = re.sub(rf"(?<![\w.-]){re.escape(value)}(?![\w-])", f"<{name}>", text)
        text = UUID.sub(lambda found: self._uid(found[0]), text)
        text = TIME.sub(_moment, text)
        text = ADDRESS.sub("<address>", text)
        text = TOKEN.sub("kube-api-access-<5>", text)
        text = AGE.sub("<age>", NODE_PORT.sub("<node port>", text))
        text = PATCHED.sub("Invalid value: <object>: ", text)
        return MADE.sub(r"\1<5>", text)

    def _uid(self, uid: str) -> str:
        return self._uids.setdefault(uid, f"<uid {len(self._uids)}>")


def _moment(found: re.Match[str]) -> str:
    # Only what happened now is a server's own; times that were sent are to come back as they are.
    then = datetime.fromisoformat(found[0])
    return "<now>" if abs(datetime.now(UTC) - then) < LATELY else found[0]


def _term(moment: str) -> str:
    # Each server counts from its own now, but both as far: to within minutes, since it is looked at later.
    return f"<in {round((datetime.fromisoformat(moment) - datetime.now(UTC)) / timedelta(minutes=10))}0 minutes>"


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)
