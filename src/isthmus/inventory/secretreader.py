"""The SIG's two credential plugins: a token out of a Secret, and a user out of a kubeconfig in a Secret.

Catalogue clusterprofile.md, 4.4 and 4.5. They read with the consumer's own identity, in the consumer's own cluster.
"""

import base64
import binascii
from typing import Final

from isthmus.api.core import SECRETS
from isthmus.errors import Invalid
from isthmus.inventory.rules.plugins import Asked, answer, asked, kubeconfig_secret_config, secret_config
from isthmus.inventory.rules.profile import TOKEN_KEY
from isthmus.kube.client import Client
from isthmus.kube.config import Config, in_cluster, inferred_namespace, load_kubeconfig
from isthmus.kube.kubeconfig import KubeconfigFile, UserInfo, names, parsed

_FILES: Final = ("client_certificate", "client_key", "token_file")


async def secret_reader(text: str | None) -> str:
    """The answer of `secretreader` to what stands in $KUBERNETES_EXEC_INFO; raises the errors of the client."""
    question = asked(text)
    name = secret_config(question).cluster_name
    token = (await _read(name, inferred_namespace(), TOKEN_KEY)).decode().strip()
    if not token:
        raise Invalid(f"Secret {name}: key {TOKEN_KEY} is empty")
    return answer(question, token=token)


async def kubeconfig_secret_reader(text: str | None) -> str:
    """The answer of `kubeconfig-secretreader`; raises the errors of the client."""
    question = asked(text)
    config = kubeconfig_secret_config(question)
    namespace = config.namespace or inferred_namespace()
    content = await _read(config.name, namespace, config.key)
    origin = f"Secret {namespace}/{config.name}, key {config.key}"
    return credentials_in(parsed(content, origin), question, context=config.context, origin=origin)


def credentials_in(file: KubeconfigFile, question: Asked, *, context: str, origin: str) -> str:
    """The answer that a kubeconfig holds; its server and authority count for nothing. Raises Invalid."""
    if file.extensions:
        raise Invalid(f"{origin}: a kubeconfig with extensions is refused")
    chosen = context or file.current_context
    if not chosen:
        raise Invalid(f"{origin}: no context is named, and current-context is not set")
    contexts = {each.name: each.context for each in file.contexts or ()}
    users = {each.name: each.user for each in file.users or ()}
    found = contexts.get(chosen)
    if found is None:
        raise Invalid(f"{origin}: no context {chosen!r}; there are: {names(contexts)}")
    user = users.get(found.user)
    if user is None:
        raise Invalid(f"{origin}: no user {found.user!r}; there are: {names(users)}")
    return _answered(user, question, origin=f"{origin}: user {found.user}")


def _answered(user: UserInfo, question: Asked, *, origin: str) -> str:
    if any(getattr(user, field) for field in _FILES):
        raise Invalid(f"{origin}: names files; put the data themselves into the kubeconfig")
    certificate, key = (_pem(data, origin) for data in (user.client_certificate_data, user.client_key_data))
    if bool(certificate) != bool(key):
        raise Invalid(f"{origin}: has one of client-certificate-data and client-key-data, and not the other")
    if not user.token and not certificate:
        raise Invalid(f"{origin}: has neither a token nor a client certificate; nothing else is supported")
    return answer(question, token=user.token or "", certificate=certificate, key=key)


async def _read(name: str, namespace: str, key: str) -> bytes:
    async with Client(_here(), user_agent="isthmus-credential") as client:
        secret = await client.get(SECRETS, name, namespace=namespace)
    data = (secret.get("data") or {}).get(key)
    if not data:
        raise Invalid(f"Secret {namespace}/{name} has no key {key}, or it is empty")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as problem:
        raise Invalid(f"Secret {namespace}/{name}: key {key} is not base64") from problem


def _here() -> Config:
    """The cluster that the consumer runs in, else the one of its kubeconfig."""
    try:
        return in_cluster()
    except Invalid:
        return load_kubeconfig()


def _pem(data: str | None, origin: str) -> str:
    try:
        return base64.b64decode("".join((data or "").split()), validate=True).decode()
    except (binascii.Error, ValueError) as problem:
        raise Invalid(f"{origin}: its certificate or key is not PEM in base64") from problem
