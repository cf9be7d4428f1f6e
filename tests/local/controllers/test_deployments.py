import asyncio
import json

from isthmus.api.apps import DEPLOYMENTS, REPLICA_SETS, Deployment, ReplicaSet
from isthmus.api.core import PODS
from isthmus.api.scheme import Manifest
from isthmus.local.rules.rollout import REVISION
from tests.local.conftest import Around, eventually, kubectl


def template(image: str = "one", **annotations: str | None) -> Manifest:
    return {
        "metadata": {"labels": {"app": "web"}, "annotations": annotations},
        "spec": {"containers": [{"name": "c", "image": image}]},
    }


async def deploy(around: Around, **spec: object) -> Deployment:
    wanted = {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template(), **spec}
    return await around.make(DEPLOYMENTS, {"metadata": {"name": "web"}, "spec": wanted})


async def change(around: Around, **spec: object) -> None:
    await around.client.merge_patch(DEPLOYMENTS, "web", {"spec": spec}, namespace=around.namespace)


async def web(around: Around) -> Deployment:
    return await around.client.get(DEPLOYMENTS, "web", namespace=around.namespace)


async def sets(around: Around) -> dict[str, ReplicaSet]:
    """The Deployment's ReplicaSets by revision."""
    listed = await around.client.list(REPLICA_SETS, namespace=around.namespace)
    return {each.metadata.annotations.get(REVISION, ""): each for each in listed.items}


async def images(around: Around) -> list[str]:
    pods = (await around.client.list(PODS, namespace=around.namespace)).items
    return sorted(pod["spec"]["containers"][0]["image"] for pod in pods if "deletionTimestamp" not in pod["metadata"])


async def wait_rolled_out(around: Around, *, image: str = "one", replicas: int = 3) -> None:
    async def is_rolled_out() -> bool:
        now = await web(around)
        status = now.status
        counts = (status.replicas, status.updated_replicas, status.available_replicas)
        seen = status.observed_generation >= now.metadata.generation
        return seen and counts == (replicas,) * 3 and await images(around) == [image] * replicas

    await eventually(is_rolled_out)


async def test_a_deployment_gets_its_pods_and_says_so(around: Around) -> None:
    await deploy(around)
    await wait_rolled_out(around)
    now = await web(around)
    assert {each.type: each.status for each in now.status.conditions} == {"Available": "True", "Progressing": "True"}
    assert now.metadata.annotations[REVISION] == "1"
    assert list(await sets(around)) == ["1"]


async def test_a_new_template_rolls_out_and_back(around: Around) -> None:
    await deploy(around)
    await wait_rolled_out(around)
    await change(around, template=template("two"))
    await wait_rolled_out(around, image="two")
    assert "successfully rolled out" in await kubectl(around, "rollout", "status", "deploy/web", "--timeout=20s")
    assert {number: each.spec.replicas for number, each in (await sets(around)).items()} == {"1": 0, "2": 3}
    await kubectl(around, "rollout", "undo", "deploy/web")
    await wait_rolled_out(around, image="one")
    assert {number: each.spec.replicas for number, each in (await sets(around)).items()} == {"2": 0, "3": 3}
    history = await kubectl(around, "rollout", "history", "deploy/web")
    assert [line.split()[0] for line in history.splitlines() if line[:1].isdigit()] == ["2", "3"]


async def test_kubectl_restarts_and_scales(around: Around) -> None:
    await deploy(around)
    await wait_rolled_out(around)
    before = {pod["metadata"]["uid"] for pod in (await around.client.list(PODS, namespace=around.namespace)).items}
    await kubectl(around, "rollout", "restart", "deploy/web")

    async def all_are_others() -> bool:
        now = {pod["metadata"]["uid"] for pod in (await around.client.list(PODS, namespace=around.namespace)).items}
        return len(now) == 3 and not now & before

    await eventually(all_are_others)
    await kubectl(around, "scale", "deploy/web", "--replicas=5")
    await wait_rolled_out(around, replicas=5)
    await kubectl(around, "scale", "deploy/web", "--replicas=0")
    await wait_rolled_out(around, replicas=0)


async def test_a_broken_template_leaves_enough_of_the_old_pods(around: Around) -> None:
    await deploy(around, replicas=4, progressDeadlineSeconds=1)
    await wait_rolled_out(around, replicas=4)
    await change(around, template=template("two", broken="yes"))

    async def is_stuck() -> bool:
        conditions = {each.type: each for each in (await web(around)).status.conditions}
        return conditions["Progressing"].reason == "ProgressDeadlineExceeded"

    await eventually(is_stuck)
    assert (await images(around)).count("one") == 3
    await change(around, template=template("three", broken=None))
    await wait_rolled_out(around, image="three", replicas=4)


async def test_recreate_never_runs_two_templates_at_once(around: Around) -> None:
    mixed: list[set[str]] = []
    seen = around.informer(PODS)
    seen.subscribe(
        lambda _: mixed.append({pod["spec"]["containers"][0]["image"] for pod in seen.store.all(around.namespace)})
    )
    await deploy(around, strategy={"type": "Recreate"})
    await wait_rolled_out(around)
    await change(around, template=template("two"))
    await wait_rolled_out(around, image="two")
    assert {"one", "two"} not in mixed


async def test_a_paused_deployment_keeps_its_template_and_can_be_scaled(around: Around) -> None:
    await deploy(around)
    await wait_rolled_out(around)
    await change(around, paused=True, template=template("two"))
    await change(around, replicas=5)

    async def is_scaled() -> bool:
        return await images(around) == ["one"] * 5

    await eventually(is_scaled)
    await change(around, paused=False)
    await wait_rolled_out(around, image="two", replicas=5)


async def test_history_is_pruned(around: Around) -> None:
    await deploy(around, replicas=1, revisionHistoryLimit=1)
    for image in ("two", "three", "four"):
        await change(around, template=template(image))
        await wait_rolled_out(around, image=image, replicas=1)

    async def is_pruned() -> bool:
        return set(await sets(around)) == {"3", "4"}

    await eventually(is_pruned)


async def test_a_replica_set_of_somebody_else_with_that_name_is_left_alone(around: Around) -> None:
    made = await deploy(around)
    await wait_rolled_out(around)
    (own,) = (await sets(around)).values()
    await around.client.delete(DEPLOYMENTS, "web", namespace=around.namespace)

    async def all_gone() -> bool:
        return not await sets(around) and not await images(around)

    await eventually(all_gone)
    labels = {"app": "other"}
    await around.make(
        REPLICA_SETS,
        {
            "metadata": {"name": own.metadata.name},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": labels},
                "template": {**template(), "metadata": {"labels": labels}},
            },
        },
    )
    await deploy(around)
    await wait_rolled_out(around)
    names = {each.metadata.name: each.spec.selector for each in (await sets(around)).values()}
    assert len(names) == 2
    assert names[own.metadata.name].match_labels == labels
    assert made.metadata.name == "web"


async def test_deleting_it_takes_everything_along(around: Around) -> None:
    await deploy(around)
    await wait_rolled_out(around)
    await kubectl(around, "delete", "deploy/web", "--wait=false")

    async def all_gone() -> bool:
        return not await sets(around) and not await images(around)

    await eventually(all_gone)


async def test_a_settled_deployment_writes_nothing(around: Around) -> None:
    await deploy(around)
    await wait_rolled_out(around)
    # The last status may still be on its way; once a version has held for a while, nothing is.
    version = ""

    async def has_settled() -> bool:
        nonlocal version
        before, version = version, json.dumps([(await web(around)).metadata.resource_version])
        await asyncio.sleep(0.3)
        return before == version

    await eventually(has_settled)
    around.informer(REPLICA_SETS).relist()
    around.informer(DEPLOYMENTS).relist()
    fresh = around.informer(DEPLOYMENTS).fresh_lists
    await eventually(lambda: around.informer(DEPLOYMENTS).fresh_lists > fresh)
    assert json.dumps([(await web(around)).metadata.resource_version]) == version


async def test_kubectl_describe_tells_what_happened(around: Around) -> None:
    await deploy(around)
    await wait_rolled_out(around)
    name = next(iter((await sets(around)).values())).metadata.name

    async def is_told() -> bool:
        deployment = await kubectl(around, "describe", "deploy/web")
        replica_set = await kubectl(around, "describe", f"rs/{name}")
        return f"Scaled up replica set {name} from 0 to 3" in deployment and "Created pod: web-" in replica_set

    await eventually(is_told)
