"""Push: the agent runs beside the hub, with a key to the member; for clusters that may not dial out.

It lives in `isthmus-members` under its member's own account, so that the kubelet there renews its token for the hub,
and goes when that account goes. The key is a token of the agent's account in the member, which lives as long as a
Secret there: nothing but what the agent may do in pull mode can be done with it.
"""

import base64
from typing import Final

from isthmus.api.apps import DEPLOYMENTS
from isthmus.api.core import PODS, SECRETS, SERVICE_ACCOUNTS
from isthmus.api.isthmus import CLUSTER_LABEL, MEMBERS, MEMBERS_NAMESPACE, SET_LABEL, SYSTEM_NAMESPACE
from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid, NotFound, Unreachable
from isthmus.install.credential import is_this_machine, kubeconfig
from isthmus.install.held import Held
from isthmus.install.homes import AGENT, Agents, encoded, unready
from isthmus.install.kinds import DISRUPTION_BUDGETS, whole
from isthmus.install.manifests import apply, remove
from isthmus.install.member import DNS_SERVICE, MemberOptions, member_manifests
from isthmus.install.rights import demand_rights
from isthmus.install.roles import HUB_SECRET
from isthmus.install.workloads import HUB, MEMBER, NAME_LABEL, Workload, installation, made, workload
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.client import Client, ListOptions
from isthmus.kube.config import SERVICE_ACCOUNT, Config

# The Secret, in the member, that holds the agent's key.
KEY: Final = "isthmus-agent-key"
_FOLDER: Final = "/etc/isthmus/push"
_IN_CLUSTER: Final = "https://kubernetes.default.svc"
# Seconds.
_MADE_WITHIN: Final = 30.0
_ENDS_WITHIN: Final = 60.0
_LOOK: Final = 0.2


class BesideHub:
    """A Home in the hub's cluster. `hub` is its admin's client; `address` is where it reaches the member."""

    def __init__(
        self, hub: tuple[Client, Config], member: tuple[Client, Config], agents: Agents, *, address: str = ""
    ) -> None:
        self._hub, self._hub_config = hub
        self._member, self._member_config = member
        self._agents = agents
        self._address = address or self._member_config.server
        self._clock: Clock = SYSTEM

    def manifests(self, held: Held) -> tuple[Manifest, ...]:
        """All of a member but the agent and what that holds; and the agent's key."""
        options = MemberOptions(held.set, held.cluster, "", self._agents.image, self._agents.beside)
        theirs = [each for each in member_manifests(options) if not _is_of_agent(each)]
        key = made(SECRETS, KEY, SYSTEM_NAMESPACE, type="kubernetes.io/service-account-token")
        key["metadata"]["labels"] = {SET_LABEL: held.set, CLUSTER_LABEL: held.cluster}
        key["metadata"]["annotations"] = {"kubernetes.io/service-account.name": AGENT}
        return installation(MEMBER, (*theirs, key))

    def beside(self, held: Held) -> tuple[Manifest, ...]:
        """The agent, which goes with the member's account."""
        return self._at_hub(held, "", "")

    async def demand(self, hub: str) -> None:  # noqa: ARG002 - pods of the hub reach it by its Service
        """The hub has to reach the member, and whoever joins may put an agent there."""
        if is_this_machine(self._address):
            raise Invalid(
                f"the cluster's address {self._address} is this machine itself, which no pod of the hub reaches; "
                "give the one by which the hub reaches it: --server https://HOST:PORT"
            )
        nobody = Held("nobody", "nobody", self._hub_config.server, "")
        await demand_rights(
            self._hub, self._at_hub(nobody, "", ""), (("get", "", "serviceaccounts", MEMBERS_NAMESPACE),)
        )

    async def held(self) -> Held | None:
        """Who it is, by the labels of the key; it holds no token for the hub."""
        try:
            labels = (await self._member.get(SECRETS, KEY, namespace=SYSTEM_NAMESPACE))["metadata"].get("labels") or {}
        except NotFound:
            return None
        return Held(labels.get(CLUSTER_LABEL, ""), labels.get(SET_LABEL, ""), self._hub_config.server, "")

    def at_hub(self, held: Held) -> Config:  # noqa: ARG002 - the same for all
        """As the hub's admin."""
        return self._hub_config

    async def settle(self, held: Held) -> None:
        """Put the agent into the hub's cluster."""
        key = await self._key()
        account = await self._hub.get(SERVICE_ACCOUNTS, held.cluster, namespace=MEMBERS_NAMESPACE)
        await apply(self._hub, self._at_hub(held, key, account["metadata"]["uid"]))

    async def missing(self) -> str:
        """Pods that are not ready, on both sides."""
        held = await self.held()
        name = name_of(held.cluster) if held else AGENT
        problems = [
            await unready(self._hub, name, MEMBERS_NAMESPACE),
            await unready(self._member, DNS_SERVICE, SYSTEM_NAMESPACE),
        ]
        return "; ".join(filter(None, problems))

    async def demand_vacating(self) -> None:
        """The hub's admin ends the agent, and tells that the member has gone."""
        held = await self.held()
        if held is None:
            return
        kinds = (SECRETS, whole(DEPLOYMENTS), DISRUPTION_BUDGETS)
        rights = [("delete", kind.group, kind.plural, MEMBERS_NAMESPACE) for kind in kinds]
        rights += [("list", "", PODS.plural, MEMBERS_NAMESPACE), ("delete", MEMBERS.group, MEMBERS.plural, held.set)]
        await demand_rights(self._hub, (), rights)

    async def vacate(self) -> None:
        """End the agent: what it would make again cannot be taken away before. Raises Unreachable."""
        held = await self.held()
        if held is None:
            return
        kinds = (SECRETS, whole(DEPLOYMENTS), DISRUPTION_BUDGETS)
        await remove(self._hub, [made(kind, name_of(held.cluster), MEMBERS_NAMESPACE) for kind in kinds])
        end = self._clock.monotonic() + _ENDS_WITHIN
        pods = ListOptions(labels=f"{NAME_LABEL}={name_of(held.cluster)}")
        while (await self._hub.list(PODS, namespace=MEMBERS_NAMESPACE, options=pods)).items:
            if self._clock.monotonic() > end:
                raise Unreachable(f"pods of {name_of(held.cluster)} in {MEMBERS_NAMESPACE} of the hub do not end")
            await self._clock.sleep(_LOOK)

    async def forget(self) -> None:
        """The key went with the member's other objects."""

    async def _key(self) -> str:
        """The token that Kubernetes writes into the Secret. Raises Unreachable."""
        end = self._clock.monotonic() + _MADE_WITHIN
        while True:
            data = (await self._member.get(SECRETS, KEY, namespace=SYSTEM_NAMESPACE)).get("data") or {}
            if data.get("token"):
                return base64.b64decode(data["token"]).decode()
            if self._clock.monotonic() > end:
                raise Unreachable(f"{self._member.server} writes no token into Secret {SYSTEM_NAMESPACE}/{KEY}")
            await self._clock.sleep(_LOOK)

    def _at_hub(self, held: Held, key: str, account: str) -> tuple[Manifest, ...]:
        """Secret, Deployment and budget, which go with the member's account."""
        name = name_of(held.cluster)
        hub = Held(held.cluster, held.set, _IN_CLUSTER, "")
        files = {
            "member": kubeconfig(self._member_config, server=self._address, token=key or "none"),
            "hub": hub.kubeconfig(f"{SERVICE_ACCOUNT}/token", authority_file=f"{SERVICE_ACCOUNT}/ca.crt"),
        }
        secret = made(SECRETS, name, MEMBERS_NAMESPACE, type="Opaque", data=encoded(files))
        args = ["agent", f"--set={held.set}", f"--cluster={held.cluster}"]
        args += [f"--hub-kubeconfig={_FOLDER}/hub", f"--kubeconfig={_FOLDER}/member"]
        wanted = Workload(name, self._agents.image, tuple(args), held.set, secrets={name: _FOLDER})
        _, deployment, budget = workload(wanted)
        pod = deployment["spec"]["template"]["spec"]
        pod |= {"serviceAccountName": held.cluster, "automountServiceAccountToken": True}
        owner = {"apiVersion": "v1", "kind": SERVICE_ACCOUNTS.kind, "name": held.cluster, "uid": account}
        for each in (secret, deployment, budget):
            each["metadata"] |= {"namespace": MEMBERS_NAMESPACE}
            if account:
                each["metadata"]["ownerReferences"] = [owner]
        return installation(HUB, (secret, deployment, budget))


def name_of(cluster: str) -> str:
    """What its agent is called beside the hub."""
    return f"{AGENT}-{cluster}"


def _is_of_agent(manifest: Manifest) -> bool:
    name, kind = manifest["metadata"]["name"], manifest["kind"]
    return name == HUB_SECRET or (name == AGENT and kind in {whole(DEPLOYMENTS).kind, DISRUPTION_BUDGETS.kind})
