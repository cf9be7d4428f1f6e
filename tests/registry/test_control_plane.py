"""Joining and leaving a real control plane."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from isthmus.api.apps import DEPLOYMENTS
from isthmus.api.isthmus import MEMBERS as RECORDS
from isthmus.install.kinds import whole
from isthmus.inventory.rules.joining import read_token, written
from isthmus.testing.waiting import eventually
from tests.real.controlplane import ControlPlane
from tests.registry.site import MEMBERS, OUTSIDE, SYSTEM, Site, typed, wait_clean, well


async def test_a_cluster_joins_and_leaves_through_a_proxy_and_nothing_is_left(site: Site) -> None:
    before = await site.objects()
    token = await site.token("--cluster=west")
    assert site.proxy.url not in token
    unreached = await typed(site.plane, "join", token, "--proxy=http://127.0.0.1:1")
    assert unreached.code == 3
    assert "cannot be reached" in unreached.err
    done = await site.join(token, "--property=region=eu-west", "--works=default")
    assert done.code == 0, done.err
    assert "This cluster is member west of set prod." in done.out
    assert "isthmus dns configure" in done.out
    assert f"{OUTSIDE}:{site.plane.port}" in site.proxy.asked
    assert {"members/prod/west", "rolebindings/default/isthmus-works"} <= await site.objects()
    again = await site.join(token)
    assert again.code == 0, again.err
    assert "repairing west" in again.err
    left = await typed(site.plane, "leave", "--yes")
    assert left.code == 0, left.err
    await wait_clean(site, before)


async def test_a_cluster_joins_through_the_tunnel_by_an_address_that_nobody_else_needs(site: Site) -> None:
    before = await site.objects()
    # What answers there is no proxy server: the agent works all the same.
    url = f"https://{OUTSIDE}:{site.plane.port}"
    done = await site.join(await site.token("--cluster=west"), f"--tunnel={url}")
    assert done.code == 0, done.err
    member = await site.client.get(RECORDS, "west", namespace="prod")
    assert member.spec is not None
    assert member.spec.proxy_url == "http://west@tunnel.example:8132"
    agent = await site.client.get(whole(DEPLOYMENTS), "isthmus-agent", namespace=SYSTEM)
    assert f"--tunnel={url}" in agent["spec"]["template"]["spec"]["containers"][0]["args"]
    left = await typed(site.plane, "leave", "--yes")
    assert left.code == 0, left.err
    await wait_clean(site, before)


async def test_the_agent_may_live_beside_the_hub_and_goes_with_its_member(site: Site) -> None:
    unnamed = await site.token()
    before = await site.objects()
    push = site.push()
    token = await site.token("--cluster=west")
    unreached = await site.join(token, *push)
    assert "which no pod of the hub reaches" in unreached.err
    shown = await site.join(token, *push, f"--server=https://{OUTSIDE}:{site.plane.port}", "--dry-run")
    printed = [each["metadata"] for each in yaml.safe_load_all(shown.out)]
    assert {"isthmus-agent-west"} == {each["name"] for each in printed if each.get("namespace") == MEMBERS}
    done = await site.join(token, *push, f"--server=https://{OUTSIDE}:{site.plane.port}")
    assert done.code == 0, done.err
    there = await site.objects()
    assert {"deployments/isthmus-members/isthmus-agent-west", "secrets/isthmus-system/isthmus-agent-key"} <= there
    # Who has an id would join as that.
    assert "--cluster=west\n" in (await site.join(unnamed, "--dry-run")).out
    assert not {"deployments/isthmus-system/isthmus-agent", "secrets/isthmus-system/isthmus-hub"} & there
    stranger = with_stranger(site.plane)
    refused = await typed(site.plane, "leave", "--yes", "--mode=push", "--hub-context=stranger", user=stranger)
    assert "delete deployments.apps in isthmus-members" in refused.err
    assert "nothing was written" in refused.err
    left = await typed(site.plane, "leave", "--yes", *push)
    assert left.code == 0, left.err
    await wait_clean(site, before)


def with_stranger(plane: ControlPlane) -> Path:
    """The admin's kubeconfig, with a context of somebody who may do nothing."""
    whole, other = (yaml.safe_load(each.read_text()) for each in (plane.kubeconfig, plane.kubeconfig_of("nobody")))
    (user,) = other["users"]
    whole["users"].append({**user, "name": "stranger"})
    (context,) = whole["contexts"]
    whole["contexts"].append({"name": "stranger", "context": {**context["context"], "user": "stranger"}})
    path = plane.kubeconfig.parent / "with-stranger"
    path.write_text(yaml.safe_dump(whole))
    return path


async def test_all_missing_rights_are_named_at_once_and_nothing_is_written(site: Site) -> None:
    token = await site.token("--cluster=west")
    before = await site.objects()
    refused = await site.join(token, user=site.plane.kubeconfig_of("nobody"))
    assert refused.code == 1
    for right in (
        "create deployments.apps in isthmus-system",
        "create customresourcedefinitions.apiextensions.k8s.io",
        "escalate clusterroles.rbac.authorization.k8s.io",
        "create clusterproperties.about.k8s.io",
        "create secrets in isthmus-system",
    ):
        assert right in refused.err
    assert "nothing was written" in refused.err
    assert await site.objects() == before


async def test_who_may_not_do_all_that_leaving_takes_hears_so_before_it_begins(site: Site) -> None:
    token = await site.token("--cluster=west")
    before = await site.objects()
    nobody = site.plane.kubeconfig_of("nobody")
    refused = await typed(site.plane, "leave", "--yes", "--crds", user=nobody)
    assert refused.code == 1
    for right in (
        "delete serviceimports.multicluster.x-k8s.io",
        "delete deployments.apps",
        "delete customresourcedefinitions.apiextensions.k8s.io",
        "delete leases.coordination.k8s.io in isthmus-system",
    ):
        assert right in refused.err
    assert "nothing was written" in refused.err
    # What is asked of the DNS is known before joining, too.
    joining = await site.join(token, "--dns", user=nobody)
    assert "patch configmaps in kube-system" in joining.err
    # And one that is met on the way says where to go on.
    assert "kubectl auth can-i --list" in (await typed(site.plane, "clusters", user=nobody)).err
    assert await site.objects() == before


async def test_a_hub_at_an_address_of_this_machine_is_no_hub_for_a_pod(site: Site) -> None:
    token = await well(site.plane, "token", "create", "--cluster=west")
    refused = await typed(site.plane, "join", token)
    assert refused.code == 1
    assert "which no pod reaches" in refused.err


@pytest.mark.parametrize(("off", "words"), [(120.0, "ahead of the hub's"), (-120.0, "behind the hub's")])
async def test_a_cluster_whose_clock_is_two_minutes_off_joins_and_is_told_so(
    site: Site, off: float, words: str
) -> None:
    before = await site.objects()
    site.kubelet.clock = off
    # By a clock that is ahead it has ended.
    good = read_token(await site.token("--cluster=west"))
    token = written(replace(good, expires=datetime.now(UTC) + timedelta(minutes=1)))
    done = await typed(site.plane, "join", token, f"--proxy={site.proxy.url}", clock=off)
    assert done.code == 0, done.err
    assert "This cluster is member west of set prod." in done.out

    async def is_said() -> bool:
        return words in await well(site.plane, "describe", "cluster", "west")

    await eventually(is_said, within=30.0, what=f"its clock is {words}")
    left = await typed(site.plane, "leave", "--yes", clock=off)
    assert left.code == 0, left.err
    await wait_clean(site, before)
