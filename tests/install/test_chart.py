"""The charts, before they meet a cluster: one source with `isthmus install`, and no choice that leads nowhere."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from isthmus.api.core import CRDS
from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid
from isthmus.install.chart import chart, write_chart
from isthmus.install.hub import TUNNEL_URL, HubOptions, hub_manifests
from isthmus.install.member import MemberOptions, member_manifests
from isthmus.install.workloads import HUB, MEMBER, Tuning
from tests.real.helm import Helm, helm_at

PARTS = (HUB, MEMBER)
KUBECONFIG = "apiVersion: v1\nkind: Config\nusers: [{name: east, user: {token: secret}}]\n"
LIMITED: Manifest = {"requests": {"cpu": "20m", "memory": "80Mi"}, "limits": {"memory": "512Mi"}}
IMAGE = "registry.example.org:5000/isthmus@sha256:" + "0123456789abcdef" * 4


@pytest.fixture
def helm(tmp_path: Path) -> Helm:
    return helm_at(tmp_path / "helm")


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both charts."""
    folder = tmp_path_factory.mktemp("charts")
    for part in PARTS:
        write_chart(folder, part)
    return folder


@pytest.mark.parametrize("part", PARTS)
def test_every_choice_is_used_and_every_use_is_a_choice(part: str) -> None:
    made = chart(part)
    used = set(re.findall(r"\.Values\.(\w+)", "".join(text for name, text in made.items() if "templates/" in name)))
    assert used == set(yaml.safe_load(made["values.yaml"]))
    assert used == set(json.loads(made["values.schema.json"])["properties"]) - {"global"}


@pytest.mark.parametrize("part", PARTS)
def test_nothing_that_stood_for_a_value_is_left_over(part: str) -> None:
    everything = "".join(chart(part).values())
    assert not re.search(r"x0-|-0x|7700|eDAt", everything)


@pytest.mark.parametrize("part", PARTS)
def test_definitions_are_where_helm_makes_them_first_and_never_deletes_them(part: str) -> None:
    manifests = hub_manifests(HubOptions("s")) if part == HUB else member_manifests(MemberOptions("s", "c", ""))
    wanted = [each for each in manifests if each["kind"] == CRDS.kind]
    made = {name: text for name, text in chart(part).items() if name.startswith("crds/")}
    assert [yaml.safe_load(text) for text in made.values()] == wanted
    assert not any("CustomResourceDefinition\n" in text for name, text in chart(part).items() if name not in made)


def test_a_chart_replaces_a_former_one_and_nothing_else(tmp_path: Path) -> None:
    place = write_chart(tmp_path, HUB)
    (place / "templates" / "former.yaml").write_text("kind: Former\n")
    assert write_chart(tmp_path, HUB) == place
    assert {str(file.relative_to(place)) for file in place.rglob("*") if file.is_file()} == set(chart(HUB))
    (tmp_path / "isthmus-member").mkdir()
    (tmp_path / "isthmus-member" / "Chart.yaml").write_text("name: mine\n")
    with pytest.raises(Invalid, match=r"isthmus-member holds something else.*--output"):
        write_chart(tmp_path, MEMBER)


@pytest.mark.parametrize(
    ("part", "chosen", "wanted"),
    [
        pytest.param(HUB, {}, hub_manifests(HubOptions("isthmus")), id="a hub as usual"),
        pytest.param(
            HUB,
            {"set": "prod", "members": ["east", "west"], "image": IMAGE},
            hub_manifests(HubOptions("prod", ("east", "west"), IMAGE)),
            id="a hub with members",
        ),
        pytest.param(
            HUB,
            {"set": "1e3", "silentAfter": 12.5, "replicas": 3, "logLevel": "DEBUG"}
            | {"resources": {"hub": LIMITED, "tunnel": LIMITED}, "tunnel": TUNNEL_URL},
            hub_manifests(
                HubOptions(
                    "1e3",
                    silent_after=12.5,
                    tuning=Tuning(3, "DEBUG", {"isthmus-hub": LIMITED, "isthmus-tunnel": LIMITED}),
                    tunnel=TUNNEL_URL,
                )
            ),
            id="a hub with every choice, of a set whose name would be a number",
        ),
        pytest.param(
            MEMBER,
            {"set": "prod", "cluster": "east"},
            member_manifests(MemberOptions("prod", "east", "")),
            id="a member whose Secret somebody else makes",
        ),
        pytest.param(
            MEMBER,
            {"set": "prod", "cluster": "true", "hubKubeconfig": KUBECONFIG, "besideAnother": True, "heartbeat": 5}
            | {"replicas": 1, "logLevel": "WARNING", "resources": {"agent": LIMITED}, "tunnel": "https://tunnel:8133"},
            member_manifests(
                MemberOptions(
                    *("prod", "true", KUBECONFIG),
                    beside_another=True,
                    heartbeat=5.0,
                    tuning=Tuning(1, "WARNING", {"isthmus-agent": LIMITED}),
                    tunnel="https://tunnel:8133",
                )
            ),
            id="a member with every choice, whose id would be a truth",
        ),
    ],
)
def test_helm_prints_what_isthmus_install_prints(
    helm: Helm, charts: Path, part: str, chosen: Mapping[str, object], wanted: tuple[Manifest, ...]
) -> None:
    printed = list(helm.printed(str(charts / f"isthmus-{part}"), "--include-crds", *options(chosen)))
    seen = sorted((without_helm(each) for each in printed if not is_hook(each)), key=identity)
    assert seen == sorted(wanted, key=identity)
    hooks = [each["kind"] for each in printed if is_hook(each)]
    assert hooks == ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Job"]


def options(chosen: Mapping[str, object]) -> list[str]:
    """Values as Helm is told them."""
    return [word for name, value in chosen.items() for word in ("--set-json", f"{name}={json.dumps(value)}")]


def identity(manifest: Manifest) -> tuple[str, str, str]:
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def is_hook(manifest: Manifest) -> bool:
    return "helm.sh/hook" in manifest["metadata"].get("annotations", {})


def without_helm(manifest: Manifest) -> Manifest:
    """The same without what is Helm's own."""
    kept = {
        key: value
        for key, value in manifest["metadata"].get("annotations", {}).items()
        if not key.startswith("helm.sh/")
    }
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "annotations"}
    return manifest | {"metadata": metadata | ({"annotations": kept} if kept else {})}


@pytest.mark.parametrize(("part", "chosen"), [(HUB, "set=prod"), (MEMBER, "cluster=east")])
def test_helm_finds_no_fault_with_the_charts(helm: Helm, charts: Path, part: str, chosen: str) -> None:
    said = helm.done("lint", "--strict", str(charts / f"isthmus-{part}"), "--set", chosen)
    assert "0 chart(s) failed" in said


@pytest.mark.parametrize(
    ("part", "chosen", "words"),
    [
        (HUB, "set=Prod", "/set"),
        (HUB, "members={east,hub}", "/members/1"),
        (HUB, "members={join-x}", "/members/0"),
        (HUB, "replicas=0", "/replicas"),
        (HUB, "logLevel=LOUD", "/logLevel"),
        (HUB, "logLevels=INFO", "logLevels"),
        (HUB, "silentAfter=0", "/silentAfter"),
        (MEMBER, "set=prod", "/cluster"),
        (MEMBER, "cluster=" + "a" * 51, "/cluster"),
        (MEMBER, "cluster=east-works", "/cluster"),
        (MEMBER, "resources.hub.limits.memory=1Gi", "resources"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(helm: Helm, charts: Path, part: str, chosen: str, words: str) -> None:
    code, said = helm.typed("template", "a-release", str(charts / f"isthmus-{part}"), "--set", chosen)
    assert code != 0
    assert words in said
