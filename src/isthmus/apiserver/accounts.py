"""What a pod gets of its service account: the account's name, its token as a volume, its pull secrets.

As Kubernetes' admission plugin ServiceAccount has it.
"""

import secrets
from collections.abc import Mapping

from isthmus.api.scheme import Manifest
from isthmus.apiserver.cluster import Cluster
from isthmus.apiserver.kinds import Kind
from isthmus.apiserver.status import forbidden

DEFAULT = "default"
MOUNTED_AT = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME = "kube-api-access-"
LETTERS = "bcdfghjklmnpqrstvwxz2456789"
# Seconds; the odd ones tell these tokens from those asked for by hand.
LIFETIME = 3607


def settle_account(cluster: Cluster, kind: Kind, pod: Manifest) -> None:
    """Fill in, in place, what a new pod gets of its account. Raises Refused (403) where that is not there."""
    metadata, spec = pod["metadata"], pod["spec"]
    name = spec.get("serviceAccountName") or spec.get("serviceAccount") or DEFAULT
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    namespace = metadata.get("namespace", "")
    found = cluster.find("serviceaccounts", name, namespace)
    if found is None and name != DEFAULT:
        why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
        raise forbidden(kind, metadata.get("name", ""), why)
    # The default account of a namespace comes by itself, if a moment later.
    account: Manifest = found.manifest() if found else {}
    if _wants_token(spec, account):
        _mount(spec)
    if account.get("imagePullSecrets") and not spec.get("imagePullSecrets"):
        spec["imagePullSecrets"] = account["imagePullSecrets"]


def _wants_token(spec: Mapping[str, object], account: Mapping[str, object]) -> bool:
    key = "automountServiceAccountToken"
    return bool(spec[key] if spec.get(key) is not None else account.get(key, True))


def _mount(spec: Manifest) -> None:
    volumes = spec.get("volumes") or []
    known = next((each["name"] for each in volumes if str(each.get("name", "")).startswith(VOLUME)), "")
    name = known or VOLUME + "".join(secrets.choice(LETTERS) for _ in range(5))
    mount = {"name": name, "readOnly": True, "mountPath": MOUNTED_AT}
    needed = False
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        mounts = container.get("volumeMounts") or []
        if all(each.get("mountPath") != MOUNTED_AT for each in mounts):
            container["volumeMounts"] = [*mounts, dict(mount)]
            needed = True
    if needed and not known:
        spec["volumes"] = [*volumes, {"name": name, "projected": _sources()}]


def _sources() -> Manifest:
    namespace = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return {
        "defaultMode": 0o644,
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": LIFETIME, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": namespace}]}},
        ],
    }
