"""The Helm charts of hub and member: the manifests that `isthmus install` applies, with blanks where a person chooses.

Manifests are made out for values that mean nothing, and each of these is then replaced by Helm's expression for the
person's own. Helm, "Charts", "Chart Hooks", "Custom Resource Definitions".
"""

import base64
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Final

import yaml

from isthmus import __version__
from isthmus.agent.needs import BESIDE
from isthmus.api.core import CRDS, NAMESPACES, SECRETS
from isthmus.api.isthmus import MARKER_LABEL, SET_LABEL, SYSTEM_NAMESPACE
from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid
from isthmus.install.chart_hooks import renewal
from isthmus.install.chart_values import SHORT, hub_values, member_values, values_file, values_schema
from isthmus.install.homes import AGENT
from isthmus.install.hub import HUB_CONTROLLER, TUNNEL, HubOptions, hub_manifests
from isthmus.install.kinds import IN_ORDER, PRIORITY_CLASSES
from isthmus.install.member import (
    CREDENTIAL_ANNOTATION,
    DNS_SERVICE,
    KUBECONFIG_KEY,
    MemberOptions,
    digest,
    member_manifests,
)
from isthmus.install.roles import HUB_SECRET
from isthmus.install.workloads import HUB, INSTALLATION_LABEL, MEMBER, NAME_LABEL, Tuning

KUBERNETES: Final = ">=1.30.0-0"
_KEEP: Final = {"helm.sh/resource-policy": "keep"}
# Of these there is one in a cluster, whoever installs; and people's own objects are in namespaces.
_SHARED: Final = {NAMESPACES.kind, PRIORITY_CLASSES.kind}

# What stands for a value: nothing else in any manifest looks like these.
_SET, _CLUSTER, _IMAGE, _LEVEL = "x0-set-0x", "x0-cluster-0x", "x0-image-0x", "x0-level-0x"
_NAMESPACE, _KUBECONFIG = "x0-namespace-0x", "x0-kubeconfig-0x"
_REPLICAS, _SECONDS = 77_001, 77_002.0
_TUNNEL = "https://x0-tunnel-0x"


@dataclass(frozen=True)
class Blank:
    """What stands in a manifest, and Helm's expression for it; one that is `bare` brings its own type."""

    token: str
    expression: str
    bare: bool = False


def chart(part: str) -> dict[str, str]:
    """The chart of HUB or MEMBER, as the text of each of its files."""
    manifests = _hub() if part == HUB else _member()
    usual = (
        hub_manifests(HubOptions("s", tunnel=_TUNNEL)) if part == HUB else member_manifests(MemberOptions("s", "c", ""))
    )
    values = (hub_values if part == HUB else member_values)(_usual_resources(usual))
    made = {
        "Chart.yaml": _description(part),
        "values.yaml": values_file(values),
        "values.schema.json": values_schema(values),
        "templates/_guards.tpl": _text("guards.tpl"),
        "templates/NOTES.txt": _notes(part),
        "templates/definitions.yaml": _definitions(part),
    }
    for each in manifests:
        if each["kind"] == CRDS.kind:
            made[f"crds/{each['metadata']['name']}.yaml"] = yaml.dump(each, Dumper=_Dumper, sort_keys=False)
    for kind in IN_ORDER:
        of_kind = [each for each in manifests if each["kind"] == kind.kind]
        if of_kind and kind != CRDS:
            made[f"templates/{kind.plural}.yaml"] = _template(part, of_kind)
    return made


def write_chart(folder: Path, part: str) -> Path:
    """Put the chart of HUB or MEMBER into a folder of its own in `folder`, in place of a former one; where that is.

    Raises Invalid where something else is there.
    """
    made = chart(part)
    place = folder / f"isthmus-{part}"
    description = place / "Chart.yaml"
    if place.exists() and any(place.iterdir()):
        if not description.exists() or f"name: isthmus-{part}\n" not in description.read_text():
            raise Invalid(f"{place} holds something else than our chart: name another folder (--output)")
        # What this version no longer has would be installed all the same.
        for former in ("templates", "crds"):
            shutil.rmtree(place / former, ignore_errors=True)
    for name, text in made.items():
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return place


def _hub() -> tuple[Manifest, ...]:
    return hub_manifests(HubOptions(_SET, (_CLUSTER,), _IMAGE, _SECONDS, _tuning(HUB_CONTROLLER, TUNNEL), _TUNNEL))


def _member() -> tuple[Manifest, ...]:
    tuning = _tuning(AGENT, DNS_SERVICE)
    options = MemberOptions(_SET, _CLUSTER, _KUBECONFIG, _IMAGE, beside_another=True, tuning=tuning, tunnel=_TUNNEL)
    return member_manifests(replace(options, heartbeat=_SECONDS))


def _tuning(*names: str) -> Tuning:
    return Tuning(_REPLICAS, _LEVEL, {name: {_resources(name): ""} for name in names})


def _resources(name: str) -> str:
    return f"x0-resources-{SHORT[name]}-0x"


def _blanks(part: str) -> tuple[Blank, ...]:
    parts = (HUB_CONTROLLER, TUNNEL) if part == HUB else (AGENT, DNS_SERVICE)
    return (
        Blank(_SET, "$.Values.set"),
        # At a hub, templates go through all its members.
        Blank(_CLUSTER, "." if part == HUB else "$.Values.cluster"),
        Blank(_IMAGE, "$.Values.image"),
        Blank(_LEVEL, "$.Values.logLevel"),
        Blank(_NAMESPACE, "$.Release.Namespace"),
        Blank(_TUNNEL, "$.Values.tunnel"),
        Blank(str(_REPLICAS), "int $.Values.replicas", bare=True),
        Blank(f"{_SECONDS:g}", "$.Values.silentAfter" if part == HUB else "$.Values.heartbeat"),
        Blank(base64.b64encode(_KUBECONFIG.encode()).decode(), "$.Values.hubKubeconfig | b64enc"),
        Blank(digest({KUBECONFIG_KEY: _KUBECONFIG}), "$.Values.hubKubeconfig | sha256sum | trunc 16"),
        *(Blank(_resources(name), f"toJson $.Values.resources.{SHORT[name]}", bare=True) for name in parts),
    )


def _template(part: str, manifests: Sequence[Manifest]) -> str:
    """All objects of one kind; those of a hub's members once for each of them."""
    blanks = _blanks(part)
    of_members = [each for each in manifests if part == HUB and _mentions(each, _CLUSTER)]
    said = [_guarded(each, _document(each, blanks)) for each in manifests if each not in of_members]
    if of_members:
        said += ["{{- range $.Values.members }}\n", *(_document(each, blanks) for each in of_members), "{{- end }}\n"]
    return "".join(said)


def _guarded(manifest: Manifest, text: str) -> str:
    """Left out where it is another's, or nobody asked for it."""
    if manifest["kind"] in _SHARED:
        return _if_not_left(manifest, text)
    if manifest["metadata"]["name"] == TUNNEL:
        return _if("$.Values.tunnel", text)
    if manifest["kind"] == SECRETS.kind:
        return _if("$.Values.hubKubeconfig", text)
    text = re.sub(rf" *annotations:\n *{CREDENTIAL_ANNOTATION}: .*\n", _when("$.Values.hubKubeconfig"), text)
    text = re.sub(r' *- "--tunnel=.*\n', _when("$.Values.tunnel"), text)
    return re.sub(rf" *- {BESIDE}\n", _when("$.Values.besideAnother"), text)


def _if_not_left(manifest: Manifest, text: str) -> str:
    metadata = manifest["metadata"]
    labels = {key: value for key, value in metadata["labels"].items() if key in {MARKER_LABEL, SET_LABEL}}
    said = " ".join(f'"{key}" {"$.Values.set" if value == _SET else _quoted(value)}' for key, value in labels.items())
    name = "$.Values.set" if metadata["name"] == _SET else _quoted(metadata["name"])
    home = str(metadata["name"] == SYSTEM_NAMESPACE).lower()
    asked = (
        f'dict "root" $ "apiVersion" "{manifest["apiVersion"]}" "kind" "{manifest["kind"]}" "name" {name} '
        f'"home" {home} "labels" (dict {said})'
    )
    return _if(f'not (include "isthmus.left" ({asked}))', text)


def _quoted(text: str) -> str:
    return f'"{text}"'


def _if(condition: str, text: str) -> str:
    return f"{{{{- if {condition} }}}}\n{text}{{{{- end }}}}\n"


def _when(condition: str) -> str:
    """The same around whatever a pattern has found."""
    return _if(condition, r"\g<0>")


def _document(manifest: Manifest, blanks: Iterable[Blank]) -> str:
    """One object as text, with Helm's expressions in it."""
    blanks = tuple(blanks)
    if manifest["kind"] in _SHARED:
        metadata = manifest["metadata"]
        manifest = manifest | {"metadata": metadata | {"annotations": metadata.get("annotations", {}) | _KEEP}}
    text = yaml.dump(_marked(manifest, {each.token for each in blanks}), Dumper=_Dumper, sort_keys=False, width=1 << 20)
    for each in blanks:
        token = _quoted(each.token) if each.bare else each.token
        text = text.replace(token, f"{{{{ {each.expression} }}}}")
    return f"---\n{text}"


class _Marked(str):
    """A string with a blank in it: it is quoted, since a set may be called `true`, or `1e3`."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Everything stands where it is."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - of all alike
        """Never."""
        return True


_Dumper.add_representer(
    _Marked, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style='"')
)


def _marked(value: object, tokens: set[str]) -> object:
    """The same with every blank as a marked string, and nothing that Helm would take for an expression."""
    if isinstance(value, Mapping):
        if len(value) == 1 and (only := next(iter(value))) in tokens:
            return _Marked(only)
        return {_marked(key, tokens): _marked(each, tokens) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_marked(each, tokens) for each in value]
    text = str(value)
    if isinstance(value, str) and "{{" in value:
        raise ValueError(f"Helm would take this for an expression: {value}")
    return _Marked(text) if any(token in text for token in tokens) else value


def _mentions(value: object, token: str) -> bool:
    if isinstance(value, Mapping):
        return any(_mentions(each, token) for pair in value.items() for each in pair)
    if isinstance(value, list | tuple):
        return any(_mentions(each, token) for each in value)
    return token in str(value)


def _definitions(part: str) -> str:
    """What has to hold before anything is made: one set a cluster, and definitions that are new enough."""
    asked = (
        f'dict "root" $ "namespace" "{SYSTEM_NAMESPACE}" "set" "{SET_LABEL}" '
        f'"label" "{INSTALLATION_LABEL}" "part" "{part}"'
    )
    hooks = "".join(_document(each, _blanks(part)) for each in renewal(part, _IMAGE, _NAMESPACE))
    return f'{{{{- include "isthmus.one-set" ({asked}) }}}}\n' + _if("$.Values.renewDefinitions", hooks)


def _usual_resources(manifests: Iterable[Manifest]) -> dict[str, Manifest]:
    deployments = (each for each in manifests if each["kind"] == "Deployment")
    return {
        each["spec"]["template"]["metadata"]["labels"][NAME_LABEL]: each["spec"]["template"]["spec"]["containers"][0][
            "resources"
        ]
        for each in deployments
    }


def _description(part: str) -> str:
    does = {
        HUB: "The hub of a cluster set of Kubernetes clusters.",
        MEMBER: "One cluster's membership in a cluster set.",
    }
    return yaml.safe_dump(
        {
            "apiVersion": "v2",
            "name": f"isthmus-{part}",
            "description": does[part],
            "type": "application",
            "version": __version__,
            "appVersion": __version__,
            "kubeVersion": KUBERNETES,
        },
        sort_keys=False,
    )


def _notes(part: str) -> str:
    text = _text(f"{part}-notes.txt")
    for name, said in (
        ("SYSTEM_NAMESPACE", SYSTEM_NAMESPACE),
        ("HUB_SECRET", HUB_SECRET),
        ("KUBECONFIG_KEY", KUBECONFIG_KEY),
    ):
        text = text.replace(name, said)
    return text


def _text(name: str) -> str:
    return files("isthmus.install").joinpath("charts", name).read_text()
