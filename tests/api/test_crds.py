"""The CustomResourceDefinitions, against the catalogue's tables and a real API server."""

import json
from collections.abc import Iterator

import pytest
import yaml

from isthmus.api.crds import ABOUT_CRDS, HUB_CRDS, MCS_CRDS
from isthmus.api.scheme import Manifest

EVERY = (*ABOUT_CRDS, *MCS_CRDS, *HUB_CRDS)
BY_NAME = {crd["metadata"]["name"]: crd for crd in EVERY}
ABOUT = BY_NAME["clusterproperties.about.k8s.io"]
EXPORTS = BY_NAME["serviceexports.multicluster.x-k8s.io"]
IMPORTS = BY_NAME["serviceimports.multicluster.x-k8s.io"]

CONDITION: Manifest = {
    "type": "object",
    "required": ["type", "status", "reason", "message", "lastTransitionTime"],
    "properties": {
        "type": {
            "type": "string",
            "maxLength": 316,
            "pattern": r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
            r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
        },
        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
        "reason": {
            "type": "string",
            "minLength": 1,
            "maxLength": 1024,
            "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        },
        "message": {"type": "string", "maxLength": 32768},
        "lastTransitionTime": {"type": "string", "format": "date-time"},
        "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
    },
}
CONDITIONS: Manifest = {
    "type": "array",
    "items": CONDITION,
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
}


def bare(node: object) -> object:
    """The schema without descriptions."""
    if isinstance(node, dict):
        return {key: bare(value) for key, value in node.items() if key != "description" or isinstance(value, dict)}
    return [bare(each) for each in node] if isinstance(node, list) else node


def schemas(crd: Manifest) -> list[Manifest]:
    """The schemas of its versions."""
    return [bare(version["schema"]["openAPIV3Schema"])["properties"] for version in crd["spec"]["versions"]]  # type: ignore[index]  # a dict


def versions(crd: Manifest) -> dict[str, bool]:
    """Which versions there are, and which is stored; all are served, with status."""
    assert all(version["served"] for version in crd["spec"]["versions"])
    return {version["name"]: version["storage"] for version in crd["spec"]["versions"]}


def columns(crd: Manifest) -> list[list[tuple[str, str, str]]]:
    return [
        [(each["name"], each["type"], each["jsonPath"]) for each in version["additionalPrinterColumns"]]
        for version in crd["spec"]["versions"]
    ]


CREATED = ".metadata.creationTimestamp"
STRING: Manifest = {"type": "string"}
MAP: Manifest = {"type": "object", "additionalProperties": STRING}


@pytest.mark.requirement("ABOUT-1", "ABOUT-2", "ABOUT-3", "ABOUT-4", "ABOUT-6")
def test_the_about_api_is_as_released() -> None:
    spec = ABOUT["spec"]
    assert (spec["group"], spec["scope"]) == ("about.k8s.io", "Cluster")
    assert spec["names"] == {
        "kind": "ClusterProperty",
        "listKind": "ClusterPropertyList",
        "plural": "clusterproperties",
        "singular": "clusterproperty",
        "categories": ["multicluster"],
    }
    assert "conversion" not in spec
    assert versions(ABOUT) == {"v1alpha1": False, "v1beta1": True}
    assert columns(ABOUT) == [[("value", "string", ".spec.value"), ("age", "date", CREATED)]] * 2
    assert ABOUT["metadata"]["annotations"] == {
        "api-approved.kubernetes.io": "https://github.com/kubernetes/enhancements/pull/3084"
    }
    for each in schemas(ABOUT):
        assert each["spec"] == {
            "type": "object",
            "required": ["value"],
            "properties": {"value": {"type": "string", "minLength": 1}},
        }
        assert each["status"] == {"type": "object"}


@pytest.mark.requirement("MCS-47")
@pytest.mark.parametrize(
    ("crd", "names", "shown"),
    [
        pytest.param(
            EXPORTS,
            ("ServiceExport", "serviceexports", "serviceexport", ["svcex", "svcexport"]),
            [("Age", "date", CREATED)],
            id="exports",
        ),
        pytest.param(
            IMPORTS,
            ("ServiceImport", "serviceimports", "serviceimport", ["svcim", "svcimport"]),
            [("Type", "string", ".spec.type"), ("IP", "string", ".spec.ips"), ("Age", "date", CREATED)],
            id="imports",
        ),
    ],
)
def test_the_mcs_api_is_named_as_released(
    crd: Manifest, names: tuple[str, str, str, list[str]], shown: list[tuple[str, str, str]]
) -> None:
    spec = crd["spec"]
    assert (spec["group"], spec["scope"]) == ("multicluster.x-k8s.io", "Namespaced")
    kind, plural, singular, short = names
    assert spec["names"] == {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": plural,
        "singular": singular,
        "shortNames": short,
    }
    assert versions(crd) == {"v1alpha1": False, "v1beta1": True}
    assert columns(crd) == [shown] * 2
    assert all(version["subresources"] == {"status": {}} for version in spec["versions"])
    assert crd["metadata"]["labels"] == {
        "multicluster.x-k8s.io/release-version": "v0.5.2",
        "multicluster.x-k8s.io/crd-schema-revision": "0",
    }


@pytest.mark.requirement("MCS-47")
def test_exports_hold_what_was_released() -> None:
    for each in schemas(EXPORTS):
        assert each["spec"] == {
            "type": "object",
            "properties": {"exportedLabels": MAP, "exportedAnnotations": MAP},
        }
        assert each["status"] == {"type": "object", "properties": {"conditions": CONDITIONS}}


@pytest.mark.requirement("MCS-29", "MCS-47")
def test_imports_hold_what_was_released() -> None:
    port = {"type": "integer", "format": "int32"}
    affinity = {"type": "object", "properties": {"timeoutSeconds": {"type": "integer", "format": "int32"}}}
    for each in schemas(IMPORTS):
        assert each["spec"]["required"] == ["type", "ports"]
        assert each["spec"]["properties"] == {
            "type": {"type": "string", "enum": ["ClusterSetIP", "Headless"]},
            "ports": {
                "type": "array",
                "x-kubernetes-list-type": "atomic",
                "items": {
                    "type": "object",
                    "required": ["port"],
                    "properties": {"port": port, "name": STRING, "protocol": STRING, "appProtocol": STRING},
                },
            },
            "ips": {"type": "array", "items": STRING, "maxItems": 2},
            "ipFamilies": {"type": "array", "items": STRING, "maxItems": 2},
            "sessionAffinity": STRING,
            "sessionAffinityConfig": {"type": "object", "properties": {"clientIP": affinity}},
            "internalTrafficPolicy": STRING,
            "trafficDistribution": STRING,
        }
        assert each["status"]["properties"] == {
            "clusters": {
                "type": "array",
                "items": {"type": "object", "required": ["cluster"], "properties": {"cluster": STRING}},
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["cluster"],
            },
            "conditions": CONDITIONS,
            "endpointSliceObjects": {"type": "string", "enum": ["Present", "Absent"]},
        }


def walk(node: object) -> Iterator[Manifest]:
    """Every schema inside."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


@pytest.mark.parametrize("crd", EVERY, ids=BY_NAME)
def test_every_schema_is_structural(crd: Manifest) -> None:
    for version in crd["spec"]["versions"]:
        for node in walk(version["schema"]):
            assert not {"$ref", "default", "anyOf", "title"} & set(node)


def unbounded(node: Manifest, path: str) -> Iterator[str]:
    if node.get("type") == "array":
        if "maxItems" not in node:
            yield path
        yield from unbounded(node["items"], path + "[]")
    for name, inner in node.get("properties", {}).items():
        yield from unbounded(inner, f"{path}.{name}")


OURS = [crd for crd in HUB_CRDS if crd["spec"]["group"] == "isthmus.dev"]


@pytest.mark.parametrize("crd", OURS, ids=lambda crd: str(crd["metadata"]["name"]))
def test_what_members_write_for_each_other_has_an_end(crd: Manifest) -> None:
    (version,) = crd["spec"]["versions"]
    assert list(unbounded(version["schema"]["openAPIV3Schema"], "")) == []


def test_only_what_two_write_has_a_status() -> None:
    with_status = {
        crd["spec"]["names"]["plural"]
        for crd in OURS
        if any("subresources" in version for version in crd["spec"]["versions"])
    }
    assert with_status == {"members", "joinrequests"}


PROFILES = BY_NAME["clusterprofiles.multicluster.x-k8s.io"]
DECISIONS = BY_NAME["placementdecisions.multicluster.x-k8s.io"]
TIME: Manifest = {"type": "string", "format": "date-time"}


@pytest.mark.requirement("INV-2", "INV-8", "INV-13", "INV-15")
def test_the_inventory_api_is_as_released() -> None:
    for crd, kind in ((PROFILES, "ClusterProfile"), (DECISIONS, "PlacementDecision")):
        (version,) = crd["spec"]["versions"]
        assert crd["spec"]["group"] == "multicluster.x-k8s.io"
        assert crd["spec"]["scope"] == "Namespaced"
        assert crd["spec"]["names"] == {
            "kind": kind,
            "listKind": f"{kind}List",
            "plural": f"{kind.lower()}s",
            "singular": kind.lower(),
        }
        assert (version["name"], version["served"], version["storage"]) == ("v1alpha1", True, True)
        assert "additionalPrinterColumns" not in version
    assert PROFILES["spec"]["versions"][0]["subresources"] == {"status": {}}
    assert "subresources" not in DECISIONS["spec"]["versions"][0]


@pytest.mark.requirement("INV-2", "INV-13", "INV-15", "INV-25", "INV-26")
def test_profiles_hold_what_was_released() -> None:
    (schema,) = (bare(each["schema"]["openAPIV3Schema"]) for each in PROFILES["spec"]["versions"])
    assert isinstance(schema, dict)
    assert schema["required"] == ["spec"]
    spec, status = schema["properties"]["spec"], schema["properties"]["status"]
    assert spec == {
        "type": "object",
        "required": ["clusterManager"],
        "properties": {
            "displayName": STRING,
            "clusterManager": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": STRING},
                "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "ClusterManager is immutable"}],
            },
        },
    }
    keyed = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    extension = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    cluster = {
        "type": "object",
        "required": ["server"],
        "properties": {
            "server": STRING,
            "certificate-authority-data": {"type": "string", "format": "byte"},
            "certificate-authority": STRING,
            "tls-server-name": STRING,
            "insecure-skip-tls-verify": {"type": "boolean"},
            "proxy-url": STRING,
            "disable-compression": {"type": "boolean"},
            "extensions": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "extension"],
                    "properties": {"name": STRING, "extension": extension},
                },
            },
        },
    }
    providers = keyed | {
        "items": {"type": "object", "required": ["name"], "properties": {"name": STRING, "cluster": cluster}}
    }
    assert status == {
        "type": "object",
        "properties": {
            "conditions": CONDITIONS,
            "version": {"type": "object", "properties": {"kubernetes": STRING}},
            "properties": keyed
            | {
                "items": {
                    "type": "object",
                    "required": ["name", "value"],
                    "properties": {
                        "name": {"type": "string", "minLength": 1, "maxLength": 253},
                        "value": {"type": "string", "minLength": 1, "maxLength": 1024},
                        "lastObservedTime": TIME,
                    },
                }
            },
            "accessProviders": providers,
            "credentialProviders": providers,
        },
    }


def test_decisions_hold_what_was_released() -> None:
    (schema,) = (bare(each["schema"]["openAPIV3Schema"]) for each in DECISIONS["spec"]["versions"])
    assert isinstance(schema, dict)
    assert schema["required"] == ["decisions"]
    assert schema["properties"]["schedulerName"] == STRING
    assert schema["properties"]["decisions"] == {
        "type": "array",
        "minItems": 0,
        "maxItems": 100,
        "items": {
            "type": "object",
            "required": ["clusterProfileRef"],
            "properties": {
                "reason": STRING,
                "clusterProfileRef": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": STRING, "namespace": STRING},
                },
            },
        },
    }


def test_they_survive_yaml_and_json() -> None:
    for crd in EVERY:
        assert yaml.safe_load(yaml.safe_dump(crd)) == crd == json.loads(json.dumps(crd))
