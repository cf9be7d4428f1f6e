"""A consumer of an inventory that knows the public rules and nothing of Isthmus: standard library and kubectl only.

    python consumer.py KUBECTL HUB_KUBECONFIG PROVIDER_FILE NAMESPACE/NAME

It waits until the profile says `ControlPlaneHealthy`, takes the first provider of its file that the profile offers,
runs the plugin by KEP-541, and lists the ConfigMaps of `default` on the cluster. One JSON line tells what it found,
and how many seconds after readiness.
"""

import base64
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

EXEC = "client.authentication.k8s.io/exec"


def ready_profile(kubectl: str, kubeconfig: str, key: str) -> Json:
    """The profile, once it says that the control plane is healthy."""
    namespace, name = key.split("/")
    command = [kubectl, "--kubeconfig", kubeconfig, "get", "clusterprofiles", "-A", "-o", "json"]
    for _ in range(240):
        items = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["items"]
        for item in items:
            here = (item["metadata"]["namespace"], item["metadata"]["name"]) == (namespace, name)
            conditions = item.get("status", {}).get("conditions", [])
            if here and any((c["type"], c["status"]) == ("ControlPlaneHealthy", "True") for c in conditions):
                found: Json = item
                return found
        time.sleep(0.25)
    raise SystemExit(f"{key} was not ready in time")


def credential(provider: Json, cluster: Json) -> Json:
    """What the plugin answers."""
    config = provider["execConfig"]
    about = {key: value for key, value in cluster.items() if key != "extensions"}
    about["config"] = next(each["extension"] for each in cluster["extensions"] if each["name"] == EXEC)
    info = {
        "apiVersion": config["apiVersion"],
        "kind": "ExecCredential",
        "spec": {"interactive": False, "cluster": about},
    }
    extra = {each["name"]: each["value"] for each in config.get("env") or []}
    done = subprocess.run(
        [config["command"], *(config.get("args") or [])],
        env={**os.environ, **extra, "KUBERNETES_EXEC_INFO": json.dumps(info)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=60,
        check=True,
    )
    answer = json.loads(done.stdout)
    assert (answer["apiVersion"], answer["kind"]) == (config["apiVersion"], "ExecCredential")
    status: Json = answer["status"]
    return status


def config_maps(cluster: Json, status: Json) -> list[str]:
    """The names of the ConfigMaps in `default`."""
    context = ssl.create_default_context(
        cadata=base64.b64decode(cluster["certificate-authority-data"]).decode(),
    )
    request = urllib.request.Request(f"{cluster['server']}/api/v1/namespaces/default/configmaps")
    if token := status.get("token"):
        request.add_header("Authorization", f"Bearer {token}")
    else:
        with tempfile.NamedTemporaryFile("w") as pem:
            pem.write(status["clientCertificateData"] + "\n" + status["clientKeyData"])
            pem.flush()
            context.load_cert_chain(pem.name)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    with opener.open(request, timeout=10) as answer:
        return [item["metadata"]["name"] for item in json.load(answer)["items"]]


def main() -> None:
    """Do it once."""
    kubectl, kubeconfig, provider_file, key = sys.argv[1:]
    profile = ready_profile(kubectl, kubeconfig, key)
    began = time.monotonic()
    with open(provider_file) as file:  # noqa: PTH123 - as anybody would
        providers = json.load(file)["providers"]
    offered = {each["name"]: each["cluster"] for each in profile["status"]["accessProviders"]}
    provider = next(each for each in providers if each["name"] in offered)
    cluster = offered[provider["name"]]
    found = config_maps(cluster, credential(provider, cluster))
    json.dump({"configMaps": found, "seconds": time.monotonic() - began, "provider": provider["name"]}, sys.stdout)


if __name__ == "__main__":
    main()
