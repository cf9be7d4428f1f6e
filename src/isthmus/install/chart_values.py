"""What a person chooses in a chart: values with their defaults, in words, and as a schema that refuses the rest.

Helm, "Values Files", "Schema Files"; JSON Schema, draft 7.
"""

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import yaml

from isthmus.about.rules.identity import MAX_REGISTERED_ID, RESERVED_IDS
from isthmus.api.isthmus import JOIN_PREFIX, WORKS_SUFFIX
from isthmus.api.scheme import Manifest
from isthmus.install.hub import HUB_CONTROLLER, TUNNEL, TUNNEL_URL, HubOptions
from isthmus.install.member import MemberOptions
from isthmus.install.workloads import IMAGE, Tuning

_LABEL: Final = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_SET: Final[Manifest] = {"type": "string", "pattern": _LABEL, "maxLength": 63}
_CLUSTER: Final[Manifest] = {
    "type": "string",
    "pattern": _LABEL,
    "maxLength": MAX_REGISTERED_ID,
    "not": {
        "anyOf": [{"enum": list(RESERVED_IDS)}, {"pattern": f"^{JOIN_PREFIX}"}, {"pattern": f"{WORKS_SUFFIX}$"}],
    },
}
_SECONDS: Final[Manifest] = {"type": "number", "exclusiveMinimum": 0}
# By the name of the Deployment, what its part is called in values.
SHORT: Final = {HUB_CONTROLLER: "hub", TUNNEL: "tunnel", "isthmus-agent": "agent", "isthmus-dns": "dns"}


@dataclass(frozen=True)
class Value:
    """One choice: its name, what it is if nobody chooses, what it means, and JSON Schema's words for what it may be."""

    name: str
    default: object
    means: str
    schema: Manifest


def hub_values(resources: Mapping[str, Manifest]) -> tuple[Value, ...]:
    """The choices at a hub; `resources` are the usual ones, by Deployment."""
    members = {"type": "array", "items": _CLUSTER, "uniqueItems": True}
    return (
        _set("The cluster set, and the namespace that holds what is known of it."),
        Value("members", [], "Clusters that are in the set without a join token. One taken out is let go.", members),
        Value("silentAfter", HubOptions.silent_after, "Seconds without a sign of life until one is silent.", _SECONDS),
        Value(
            "tunnel",
            "",
            f"Where consumers find the tunnel to members that accept no connections, usually {TUNNEL_URL}. It needs a "
            "Secret that you make: isthmus-tunnel in isthmus-system, of type kubernetes.io/tls. Empty: no tunnel.",
            _url("https?"),
        ),
        *_common(resources),
    )


def member_values(resources: Mapping[str, Manifest]) -> tuple[Value, ...]:
    """The choices at a member."""
    return (
        _set("The cluster set that the cluster is to be in."),
        Value("cluster", "", "The id under which the hub knows it: one of the hub's `members`. Needed.", _CLUSTER),
        Value(
            "hubKubeconfig",
            "",
            "What `isthmus install credential` printed at the hub (--set-file hubKubeconfig=FILE). Empty: the pods "
            "wait for a Secret that you make: isthmus-hub in isthmus-system, with a key `kubeconfig`.",
            {"type": "string"},
        ),
        Value("heartbeat", MemberOptions.heartbeat, "Seconds between signs of life; a third of silentAfter.", _SECONDS),
        Value(
            "besideAnother",
            MemberOptions.beside_another,
            "Work though another implementation of multicluster services is there.",
            {"type": "boolean"},
        ),
        Value(
            "tunnel", "", "Where the hub's tunnel is, to dial in there (https://HOST:PORT). Empty: no.", _url("https")
        ),
        *_common(resources),
    )


def _url(scheme: str) -> Manifest:
    return {"type": "string", "pattern": rf'^({scheme}://[^\s"\\]+)?$'}


def _set(means: str) -> Value:
    return Value("set", "isthmus", means, _SET)


def _common(resources: Mapping[str, Manifest]) -> tuple[Value, ...]:
    parts = {SHORT[name]: usual for name, usual in resources.items()}
    return (
        Value("image", IMAGE, "The image of Isthmus.", {"type": "string", "pattern": r'^[^\s"\\]+$'}),
        Value(
            "replicas",
            Tuning.replicas,
            "Pods of each Deployment; of agents and hubs one leads.",
            {"type": "integer", "minimum": 1},
        ),
        Value("logLevel", Tuning.log_level, "DEBUG, INFO or WARNING.", {"enum": ["DEBUG", "INFO", "WARNING"]}),
        Value(
            "resources", parts, "What each container asks for, and its limits.", _object({part: {} for part in parts})
        ),
        Value(
            "renewDefinitions",
            True,
            "Renew definitions by a Job before installing and upgrading; never to older ones. Without it, type: "
            "isthmus install definitions",
            {"type": "boolean"},
        ),
    )


def values_file(values: Sequence[Value]) -> str:
    """values.yaml: each choice with its default, below what it means."""
    return "\n".join(_explained(each) for each in values)


def _explained(value: Value) -> str:
    default = int(value.default) if isinstance(value.default, float) and value.default.is_integer() else value.default
    return textwrap.indent(textwrap.fill(value.means, 110), "# ") + "\n" + yaml.safe_dump({value.name: default})


def values_schema(values: Sequence[Value]) -> str:
    """values.schema.json: what is no choice is refused, not passed over."""
    properties = {each.name: each.schema for each in values}
    schema = {"$schema": "http://json-schema.org/draft-07/schema#"} | _object(properties)
    return json.dumps(schema, indent=2) + "\n"


def _object(properties: Mapping[str, Manifest]) -> Manifest:
    # Helm itself puts `global` into the values of a chart that another one depends on.
    some = {name: schema or {"type": "object"} for name, schema in properties.items()}
    return {"type": "object", "additionalProperties": False, "properties": some | {"global": {"type": "object"}}}
