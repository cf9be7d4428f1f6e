"""Renews an agent's credential at its hub, well before it ends: no token is good for longer than a day.

Kubernetes, "Service account tokens" (KEP-1205). The new one is bound to the same Secret as the former, so that what
ends one ends all.
"""

import base64
import binascii
import logging
import random
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from isthmus.api.core import SECRETS
from isthmus.api.isthmus import MEMBERS_NAMESPACE, SYSTEM_NAMESPACE
from isthmus.errors import Invalid, IsthmusError
from isthmus.install.registration import LONGEST_TOKEN
from isthmus.install.roles import HUB_SECRET
from isthmus.kit.backoff import Backoff
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.client import Client
from isthmus.kube.tls import Material
from isthmus.kube.tokens import bound_to, request_token

log = logging.getLogger(__name__)

Keep = Callable[[str], Awaitable[None]]

TOKEN_KEY: Final = "token"  # noqa: S105  # a key's name
# Seconds between two looks at the file: another process may have renewed it, or an admin.
_LOOK: Final = 300.0
# Of a token's life; members that joined together do not renew together.
_AT: Final = (0.4, 0.5)
_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 600.0


@dataclass(frozen=True)
class Claims:
    """What a token says of itself: whose it is, what it is bound to, from when until when it is good (UTC)."""

    account: str
    secret: str
    uid: str
    issued: datetime
    expires: datetime


class _Bound(msgspec.Struct):
    name: str
    uid: str = ""


class _Kubernetes(msgspec.Struct):
    namespace: str
    serviceaccount: _Bound
    secret: _Bound | None = None


class _Token(msgspec.Struct):
    iat: int
    exp: int
    kubernetes: _Kubernetes = msgspec.field(name="kubernetes.io")


def claims(token: str) -> Claims | None:
    """What it says; None for what is no token of a member that is bound to a Secret: we cannot renew that.

    Nothing is believed by it: the hub looks at its signature.
    """
    parts = token.strip().split(".")
    if len(parts) != 3:
        return None
    try:
        raw = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        read = msgspec.json.decode(raw, type=_Token)
        issued, expires = datetime.fromtimestamp(read.iat, UTC), datetime.fromtimestamp(read.exp, UTC)
    except (binascii.Error, ValueError, OverflowError, OSError, RecursionError):
        return None
    bound = read.kubernetes
    if bound.secret is None or bound.namespace != MEMBERS_NAMESPACE:
        return None
    return Claims(bound.serviceaccount.name, bound.secret.name, bound.secret.uid, issued, expires)


def until_due(seen: Claims, now: datetime, share: float) -> timedelta:
    """How long a token that is first seen now may wait, to be renewed after that share of its life.

    Its moments are the hub's and `now` is ours: a clock that is far behind must not let it run out.
    """
    life = (seen.expires - seen.issued) * share
    return min(max(seen.issued + life - now, timedelta()), life)


def life_left(token: Material, now: datetime) -> float | None:
    """Which share of the token's life is left, by its own word: 0 when it is over; None for what we know nothing of."""
    seen = _read(token)
    if seen is None or seen.expires <= seen.issued:
        return None
    return max((seen.expires - now) / (seen.expires - seen.issued), 0.0)


async def renew(
    hub: Client, token: Material, keep: Keep, *, clock: Clock = SYSTEM, longest: int = LONGEST_TOKEN
) -> None:
    """Keep the token of that file fresh, until cancelled; returns at once where it cannot be renewed.

    `keep` puts a new one where all processes of the agent find it. What fails is tried again while the old one lasts,
    and after: somebody may join the cluster anew. `longest` is in seconds.
    """
    share = random.uniform(*_AT)
    backoff = Backoff(base=_FIRST_PAUSE, cap=_LONGEST_PAUSE)
    latest = _read(token)
    if latest is None:
        log.info("credential at the hub is not one that is renewed", extra={"hub": hub.server})
        return
    at = clock.monotonic() + until_due(latest, clock.now(), share).total_seconds()
    while True:
        seen = _read(token)
        # What we wrote into a Secret comes back as a file after a while.
        if seen is not None and seen.expires > latest.expires:
            latest = seen
            at = clock.monotonic() + until_due(latest, clock.now(), share).total_seconds()
        wait = at - clock.monotonic()
        if wait > 0:
            await clock.sleep(min(wait, _LOOK))
            continue
        try:
            bound = bound_to(SECRETS.kind, latest.secret, latest.uid)
            issued = await request_token(hub, latest.account, namespace=MEMBERS_NAMESPACE, seconds=longest, bound=bound)
            await keep(issued.token)
        except IsthmusError as problem:
            left = int((latest.expires - clock.now()) / timedelta(seconds=1))
            log.warning("credential not renewed", extra={"hub": hub.server, "problem": str(problem), "seconds": left})
            await clock.sleep(backoff.next())
            continue
        backoff = Backoff(base=_FIRST_PAUSE, cap=_LONGEST_PAUSE)
        latest = claims(issued.token) or latest
        at = clock.monotonic() + until_due(latest, latest.issued, share).total_seconds()
        log.info("credential renewed", extra={"hub": hub.server, "until": latest.expires.isoformat()})


def _read(token: Material) -> Claims | None:
    try:
        return claims(token.read().decode(errors="replace"))
    except Invalid:
        return None


def in_secret(member: Client) -> Keep:
    """Into the Secret that the agent's pods have mounted."""

    async def keep(token: str) -> None:
        data = {TOKEN_KEY: base64.b64encode(token.encode()).decode()}
        await member.merge_patch(SECRETS, HUB_SECRET, {"data": data}, namespace=SYSTEM_NAMESPACE)

    return keep


def in_file(path: Path) -> Keep:
    """Into the file itself, whole or not at all."""

    async def keep(token: str) -> None:
        _replace(path, token)

    return keep


def _replace(path: Path, token: str) -> None:
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            file.write(token)
        Path(file.name).replace(path)
    except OSError as problem:
        raise Invalid(f"{path} cannot be written: {problem.strerror}; check its permissions") from problem
