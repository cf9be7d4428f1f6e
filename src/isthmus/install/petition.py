"""What a cluster that wants to join does at the hub: it asks, waits for the answer, and takes its own token.

Every call is made by the join token's account, which may do just this. Each step can be repeated.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from isthmus.api.core import SECRETS
from isthmus.api.isthmus import APPROVED, DENIED, JOIN_REQUESTS, JOINED, MEMBERS_NAMESPACE, JoinRequest, JoinRequestSpec
from isthmus.api.scheme import Manifest
from isthmus.errors import APIError, Invalid, NotFound, Refused, Unreachable
from isthmus.install.held import Held, hub_config
from isthmus.install.joinable import NEW_TOKEN
from isthmus.inventory.rules.joining import JoinToken
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.client import Client, WriteOptions
from isthmus.kube.tokens import bound_to, request_token

Say = Callable[[str], None]

MANAGER: Final = "isthmus-join"
# Seconds. The agent renews its token long before.
TOKEN_LASTS: Final = 86_400
_FIRST_LOOK: Final = 0.05
_LOOK: Final = 1.0
# Roles have effect a moment after they are made.
_ALLOWED_WITHIN: Final = 15.0
_UNAUTHORIZED, _FORBIDDEN = 401, 403


class SpentToken(Invalid):
    """The hub does not know the join token any more: used, ended, or another hub's."""


@asynccontextmanager
async def hub_of(token: JoinToken, proxy: str, clock: Clock = SYSTEM) -> AsyncIterator["Petition"]:
    """The hub, as the join token may use it; through `proxy`, else through the token's own."""
    config = hub_config(token.server, token.authority, proxy or token.proxy, token.bearer)
    async with Client(config, clock=clock, user_agent=MANAGER) as client:
        yield Petition(client, token, clock)


class Petition:
    """One JoinRequest, from the side of who asks. All raise Invalid, or Unreachable, with the next step."""

    def __init__(self, client: Client, token: JoinToken, clock: Clock) -> None:
        self._client = client
        self._token = token
        self._clock = clock

    async def seen(self) -> JoinRequest | None:
        """What was asked before with this token. Raises SpentToken.

        A server refuses a token that is too new, whose role it has not heard of yet, and one that was just ended, which
        it still believes for seconds: so what it refuses is asked for again.
        """
        end = self._clock.monotonic() + _ALLOWED_WITHIN
        while True:
            try:
                return await self._client.get(JOIN_REQUESTS, self._token.name, namespace=MEMBERS_NAMESPACE)
            except NotFound:
                return None
            except APIError as problem:
                if problem.code != _FORBIDDEN or self._clock.monotonic() > end:
                    raise self._refused(problem) from problem
            except Unreachable as problem:
                raise self._unreached(problem) from problem
            await self._clock.sleep(_LOOK / 5)

    async def ask(self, spec: JoinRequestSpec) -> None:
        """Write it, or write it anew: only a request of the same cluster. Raises SpentToken."""
        seen = await self.seen()
        if seen and seen.spec and seen.spec.uid != spec.uid:
            raise Invalid(f"this token was used for another cluster, {seen.spec.cluster}. {NEW_TOKEN}")
        manifest: Manifest = {"metadata": {"name": self._token.name}, "spec": msgspec.to_builtins(spec)}
        options = WriteOptions(manager=MANAGER, force=True)
        try:
            await self._client.apply(JOIN_REQUESTS, manifest, namespace=MEMBERS_NAMESPACE, options=options)
        except APIError as problem:
            raise self._refused(problem) from problem

    async def wait_approved(self, name: str, *, within: float, say: Say, leaving: bool = False) -> JoinRequest:
        """Return the request once it is approved, with a credential unless it has yet to leave; `within` seconds."""
        end = self._clock.monotonic() + within
        said, pause = "", _FIRST_LOOK
        while True:
            seen = await self.seen()
            status = seen.status if seen else None
            if status and status.phase == DENIED:
                raise Invalid(f"the hub refused {name}: {status.reason}")
            if seen and status and status.phase in {APPROVED, JOINED} and (status.credential or leaving):
                return seen
            now = status.reason if status else ""
            if now and now != said:
                say(f"waiting for the hub: {now}")
                said = now
            if self._clock.monotonic() > end:
                waits = f"on the hub, type: isthmus approve {name}" if said else "does isthmus hub run there?"
                raise Unreachable(f"{name} was not approved within {within:.0f} s: {waits}. Then type this again")
            await self._clock.sleep(pause)
            pause = min(_LOOK, pause * 2)

    async def own_token(self, request: JoinRequest, name: str, proxy: str) -> Held:
        """A token of the member's own account, which lives no longer than its Secret on the hub."""
        if request.status is None or request.status.credential is None:
            raise Invalid(f"the hub approved {name} without saying as whom: is it of the same release as this command?")
        credential = request.status.credential
        bound = bound_to(SECRETS.kind, credential.secret, credential.uid)
        end = self._clock.monotonic() + _ALLOWED_WITHIN
        while True:
            try:
                issued = await request_token(
                    self._client, credential.account, namespace=MEMBERS_NAMESPACE, seconds=TOKEN_LASTS, bound=bound
                )
                break
            except (NotFound, Refused) as problem:
                if self._clock.monotonic() > end or problem.code == _UNAUTHORIZED:
                    raise self._refused(problem) from problem
            await self._clock.sleep(_LOOK / 5)
        token = self._token
        return Held(name, token.set, token.server, token.authority, proxy or token.proxy, issued.token)

    async def received(self) -> None:
        """Say that the join token is needed no more; the hub may have heard the agent, and ended it, before."""
        patch: Manifest = {"spec": {"received": True}}
        options = WriteOptions(manager=MANAGER)
        try:
            await self._client.merge_patch(
                JOIN_REQUESTS, self._token.name, patch, namespace=MEMBERS_NAMESPACE, options=options
            )
        except (NotFound, Refused):
            return

    def _refused(self, problem: APIError) -> Invalid:
        server = self._client.server
        if problem.code == _UNAUTHORIZED:
            return SpentToken(
                f"the hub {server} does not know this token: it was used, has ended, or is another hub's. {NEW_TOKEN}"
            )
        return Invalid(f"the hub {server} refuses this token: {problem}. {NEW_TOKEN}")

    def _unreached(self, problem: Unreachable) -> Unreachable:
        server = self._client.server
        if "CERTIFICATE_VERIFY_FAILED" in str(problem):
            return Unreachable(
                f"{server} shows a certificate of another authority than the token's: something else answers there, "
                f"or the hub got a new authority. {NEW_TOKEN}"
            )
        return Unreachable(
            f"the hub cannot be reached from here: {problem}. If only a proxy reaches it, name that: "
            "--proxy http://HOST:PORT; if its address is wrong: isthmus token create --server URL"
        )
