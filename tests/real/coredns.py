"""The cluster's name server as kubeadm lays it out: products change its ConfigMap `coredns`."""

from collections.abc import Iterator

from isthmus.api.scheme import Manifest
from tests.real.images import COREDNS

# There is no outside: what is not the cluster's does not exist.
COREFILE = """.:53 {
    errors
    health
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . 127.0.0.1:5300
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
    }
    loop
    reload 2s 1s
    loadbalance
}
.:5300 {
    bind 127.0.0.1
    template ANY ANY . {
        rcode NXDOMAIN
    }
}
"""
NAMESPACE = "/namespaces/kube-system"
RIGHTS = "/apis/rbac.authorization.k8s.io/v1"


def manifests(addresses: tuple[str, str]) -> Iterator[tuple[str, Manifest]]:
    """All objects, each with the path that it is created at; the name server answers at `addresses`."""
    name = {"name": "coredns", "namespace": "kube-system"}
    role = {"name": "system:coredns"}
    yield f"/api/v1{NAMESPACE}/serviceaccounts", {"metadata": name}
    yield f"{RIGHTS}/clusterroles", {"metadata": role, "rules": list(_rules())}
    yield (
        f"{RIGHTS}/clusterrolebindings",
        {
            "metadata": role,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", **role},
            "subjects": [{"kind": "ServiceAccount", **name}],
        },
    )
    yield f"/api/v1{NAMESPACE}/configmaps", {"metadata": name, "data": {"Corefile": COREFILE}}
    yield f"/apis/apps/v1{NAMESPACE}/deployments", _deployment(name)
    yield f"/api/v1{NAMESPACE}/services", _service(addresses)


def _rules() -> Iterator[Manifest]:
    reads = {"verbs": ["list", "watch"]}
    yield {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], **reads}
    yield {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], **reads}


def _deployment(name: Manifest) -> Manifest:
    labels = {"k8s-app": "kube-dns"}
    ready = {"httpGet": {"path": "/ready", "port": 8181}}
    container = {
        "name": "coredns",
        "image": COREDNS,
        "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": [
            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
        ],
        # A share of the processor, as kubeadm gives it: without any, every pod that starts takes all.
        "resources": {"requests": {"cpu": "100m", "memory": "70Mi"}},
        "startupProbe": {**ready, "periodSeconds": 1, "failureThreshold": 60},
        "readinessProbe": ready,
        "volumeMounts": [{"name": "config-volume", "mountPath": "/etc/coredns", "readOnly": True}],
    }
    volume = {
        "name": "config-volume",
        "configMap": {"name": "coredns", "items": [{"key": "Corefile", "path": "Corefile"}]},
    }
    pod = {
        "priorityClassName": "system-cluster-critical",
        "serviceAccountName": "coredns",
        "dnsPolicy": "Default",
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
        "volumes": [volume],
    }
    return {
        "metadata": {**name, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _service(addresses: tuple[str, str]) -> Manifest:
    labels = {"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS"}
    return {
        "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": labels},
        "spec": {
            "selector": {"k8s-app": "kube-dns"},
            "ipFamilyPolicy": "PreferDualStack",
            "clusterIP": addresses[0],
            "clusterIPs": list(addresses),
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP"},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
                {"name": "metrics", "port": 9153, "protocol": "TCP"},
            ],
        },
    }
