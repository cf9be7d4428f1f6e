"""Built-in objects: what is filled in, and what is refused with which words.

The words and values here are those of a real kube-apiserver 1.36; test_builtin_differential.py asks it again.
"""

import copy

import pytest

from isthmus.api.scheme import Manifest
from isthmus.apiserver.builtin import builtin_schema, canonical
from isthmus.apiserver.builtin.defaults import fill_builtin
from isthmus.apiserver.builtin.validation import validate_builtin, validate_metadata
from isthmus.errors import Refused
from tests.apiserver.examples import container, endpoint, lease, named, pod, service, template, workload


def filled(obj: Manifest) -> Manifest:
    obj = copy.deepcopy(obj)
    group, _, version = obj["apiVersion"].rpartition("/")
    schema = builtin_schema(group, version, obj["kind"])
    assert schema is not None
    canonical(obj, schema)
    fill_builtin(obj)
    canonical(obj, schema)
    return obj


def said(obj: Manifest, old: Manifest | None = None) -> list[str]:
    obj = filled(obj)
    old = None if old is None else filled(old)
    causes = validate_metadata(obj, old, namespaced=True) + validate_builtin(obj, old)
    return [f"{cause.field}: {cause.message}" for cause in causes]


def test_a_service_is_filled_in() -> None:
    assert filled(service())["spec"] == {
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
        "type": "ClusterIP",
    }
    sticky = filled(service(sessionAffinity="ClientIP"))["spec"]
    assert sticky["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}


def test_a_deployment_is_filled_in() -> None:
    spec = filled(workload(template={"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c"}]}}))[
        "spec"
    ]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
    assert (spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (10, 600)
    assert spec["template"]["spec"] == {
        "containers": [
            {
                "name": "c",
                "imagePullPolicy": "Always",
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }
        ],
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
    }


def test_probes_and_ports_are_filled_in() -> None:
    probe = {"httpGet": {"port": 80}}
    found = filled(container(livenessProbe=probe, ports=[{"containerPort": 80}]))["spec"]["containers"][0]
    assert found["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert found["livenessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }


def test_a_pod_gets_what_admission_adds_once() -> None:
    once = filled(pod())
    assert once["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert [each["key"] for each in once["spec"]["tolerations"]] == [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ]
    assert filled(once) == once


def test_plain_text_of_a_secret_is_encoded_and_gone() -> None:
    secret = filled({**named("x", "Secret"), "data": {"a": "Yg=="}, "stringData": {"a": "c", "z": ""}})
    assert secret["data"] == {"a": "Yw==", "z": ""}
    assert secret["type"] == "Opaque"
    assert "stringData" not in secret


PORT_RANGE = "must be between 1 and 65535, inclusive"
TYPES = '"ClusterIP", "ExternalName", "LoadBalancer", "NodePort"'
LOOPBACK = "may not be in the loopback range (127.0.0.0/8, ::1/128)"
LINK_LOCAL = "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
MULTICAST = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
UNSPECIFIED = "may not be unspecified (0.0.0.0)"
SELECTOR = "`selector` does not match template `labels`"


@pytest.mark.parametrize(
    ("obj", "causes"),
    [
        (service(), []),
        (
            service(ports=[{"port": 70000}]),
            [
                f"spec.ports[0].port: Invalid value: 70000: {PORT_RANGE}",
                f"spec.ports[0].targetPort: Invalid value: 70000: {PORT_RANGE}",
            ],
        ),
        (
            service(ports=[{"port": 80}, {"port": 81}]),
            ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
        ),
        (
            service(ports=[{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]),
            ['spec.ports[1].name: Duplicate value: "a"'],
        ),
        (service(ports=[]), ["spec.ports: Required value"]),
        (service(clusterIP="None", ports=[]), []),
        (
            service(type="Foo"),
            [f'spec.type: Unsupported value: "Foo": supported values: {TYPES}'],
        ),
        (
            endpoint(["127.0.0.1"]),
            [f'endpoints[0].addresses[0]: Invalid value: "127.0.0.1": {LOOPBACK}'],
        ),
        (
            endpoint(["fe80::1"], "IPv6"),
            [f'endpoints[0].addresses[0]: Invalid value: "fe80::1": {LINK_LOCAL}'],
        ),
        (
            endpoint(["0.0.0.0"]),
            ['endpoints[0].addresses[0]: Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0)'],
        ),
        (
            endpoint(["224.0.0.1"]),
            [f'endpoints[0].addresses[0]: Invalid value: "224.0.0.1": {MULTICAST}'],
        ),
        (endpoint(["10.0.0.1"]), []),
        (workload(), []),
        (
            workload(selector={"matchLabels": {"x": "y"}}),
            [f'spec.template.metadata.labels: Invalid value: {{"a":"b"}}: {SELECTOR}'],
        ),
        (workload(replicas=-1), ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]),
        (
            template({"a": "b"}, restartPolicy="Never"),
            ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
        ),
        (container(image=""), ["spec.containers[0].image: Required value"]),
        (
            container(volumeMounts=[{"name": "v", "mountPath": "/x"}]),
            ['spec.containers[0].volumeMounts[0].name: Not found: "v"'],
        ),
        (lease(leaseDurationSeconds=0), ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"]),
        (named(""), ["metadata.name: Required value: name or generateName is required"]),
        (named("x", finalizers=["test.dev/x"], labels={"a.b/c": "D_e"}, annotations={"A.b/c": "any thing"}), []),
    ],
    ids=lambda value: str(value)[:60],
)
def test_faults_have_their_words(obj: Manifest, causes: list[str]) -> None:
    assert said(obj) == causes


def test_names_follow_the_rules_of_their_kind() -> None:
    assert said(named("a.b")) == []
    assert len(said(named("A"))) == 1
    assert len(said(named("-"))) == 1
    assert len(said(named("a" * 254))) == 1
    renamed = {**service(), "metadata": {"name": "a.b"}}
    assert "RFC 1123 label" in said(renamed)[0]
    assert validate_metadata(named("a.b", "Namespace"), namespaced=False)[0].message.endswith("must not contain dots")


@pytest.mark.parametrize(
    ("before", "after", "causes"),
    [
        pytest.param(
            template({"a": "b"}),
            workload(selector={"matchLabels": {"x": "y"}}, template={**template({"x": "y"})["spec"]["template"]}),
            ['spec.selector: Invalid value: {"matchLabels":{"x":"y"}}: field is immutable'],
            id="a selector",
        ),
        pytest.param(
            endpoint(["10.0.0.1"]),
            endpoint(["fd00::1"], "IPv6"),
            ['addressType: Invalid value: "IPv6": field is immutable'],
            id="an address type",
        ),
        pytest.param(
            {**named("x"), "immutable": True, "data": {"a": "b"}},
            {**named("x"), "immutable": True, "data": {"a": "c"}},
            ["data: Forbidden: field is immutable when `immutable` is set"],
            id="immutable data",
        ),
        pytest.param(pod(), container(image="j"), [], id="an image may change"),
        pytest.param(
            pod(),
            pod(containers=[{"name": "c", "image": "i"}, {"name": "d", "image": "i"}]),
            ["spec.containers: Forbidden: pod updates may not add or remove containers"],
            id="containers",
        ),
        pytest.param(
            pod(activeDeadlineSeconds=5),
            pod(activeDeadlineSeconds=7),
            ["spec.activeDeadlineSeconds: Invalid value: 7: must be less than or equal to previous value"],
            id="a deadline",
        ),
        pytest.param(
            named("x", uid="a"),
            named("x", uid="b"),
            ['metadata.uid: Invalid value: "b": field is immutable'],
            id="an identity",
        ),
    ],
)
def test_what_may_not_change_does_not(before: Manifest, after: Manifest, causes: list[str]) -> None:
    assert said(after, before) == causes


def test_nothing_else_of_a_pod_may_change() -> None:
    found = said(pod(hostname="x"), pod())
    assert len(found) == 1
    assert found[0].startswith("spec: Forbidden: pod updates may not change fields other than")


def test_tolerations_may_be_added_to_a_pod_and_not_taken() -> None:
    more = pod(tolerations=[{"key": "x", "operator": "Exists"}])
    assert said(more, pod()) == []
    assert len(said(pod(), more)) == 1


def test_a_custom_resources_metadata_is_read_as_go_reads_it() -> None:
    obj: Manifest = {"apiVersion": "test.dev/v1", "kind": "Thing", "metadata": {"name": "x", "labels": {}}}
    assert validate_metadata(obj, namespaced=True) == []
    assert obj["metadata"] == {"name": "x"}
    broken = {**obj, "metadata": {"name": "x", "labels": {"a": 3}}}
    with pytest.raises(Refused) as refusal:
        validate_metadata(broken, namespaced=True)
    assert refusal.value.message == (
        'Thing in version "v1" cannot be handled as a Thing: json: cannot unmarshal number into Go struct field '
        "ObjectMeta.labels of type string"
    )


def test_a_status_is_its_writers_own() -> None:
    assert validate_builtin(service(type="Foo"), service(), "status") == []
