"""Rules for pods, and for the templates of pods."""

import ipaddress
from collections.abc import Iterator, Sequence

from isthmus.api.scheme import Manifest
from isthmus.apiserver.builtin.metadata import annotation_faults, label_set_faults
from isthmus.apiserver.builtin.names import config_key_faults, label_faults, port_name_faults, subdomain_faults
from isthmus.apiserver.builtin.quantity import quantity
from isthmus.apiserver.builtin.services import PORT_RANGE, is_port, port_reference_faults
from isthmus.apiserver.causes import duplicate, forbidden, required, wrong
from isthmus.apiserver.schema import Cause

HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
HOOKS = ("exec", "httpGet", "tcpSocket", "sleep")
ENV_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
FIELDS = ("metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName")
STATUS_FIELDS = ("status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs")
SOURCES = ("emptyDir", "hostPath", "secret", "nfs", "persistentVolumeClaim", "downwardAPI", "configMap", "projected")
MAX_INT32 = (1 << 31) - 1
FROZEN = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def pod_faults(pod: Manifest, old: Manifest | None) -> Iterator[Cause]:
    """Faults in a pod."""
    spec = pod.get("spec") or {}
    yield from pod_spec_faults(spec, "spec")
    if old is not None:
        yield from _change_faults(spec, old.get("spec") or {})


def template_faults(template: Manifest, path: str) -> Iterator[Cause]:
    """Faults in the template of pods."""
    metadata = template.get("metadata") or {}
    yield from label_set_faults(metadata.get("labels"), f"{path}.labels")
    yield from annotation_faults(metadata.get("annotations"), f"{path}.annotations")
    yield from pod_spec_faults(template.get("spec") or {}, f"{path}.spec")


def pod_spec_faults(spec: Manifest, path: str) -> Iterator[Cause]:
    """Faults in a pod's spec."""
    volumes = spec.get("volumes") or []
    yield from _volume_faults(volumes, f"{path}.volumes")
    names: set[str] = set()
    volume_names = {volume.get("name", "") for volume in volumes}
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    for kind in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(kind) or ()):
            where = f"{path}.{kind}[{index}]"
            yield from _container_faults(container, where, volume_names)
            if container.get("name", "") in names:
                yield duplicate(f"{where}.name", container["name"])
            names.add(container.get("name") or where)
    yield from label_set_faults(spec.get("nodeSelector"), f"{path}.nodeSelector")
    for field, rule in (
        ("nodeName", subdomain_faults),
        ("serviceAccountName", subdomain_faults),
        ("hostname", label_faults),
        ("subdomain", label_faults),
    ):
        if spec.get(field):
            yield from (wrong(f"{path}.{field}", spec[field], fault) for fault in rule(spec[field]))
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 0 < deadline <= MAX_INT32:
        message = f"must be between 1 and {MAX_INT32}, inclusive"
        yield wrong(f"{path}.activeDeadlineSeconds", deadline, message)
    yield from _dns_faults(spec, path)
    yield from _toleration_faults(spec.get("tolerations") or [], f"{path}.tolerations")


def _dns_faults(spec: Manifest, path: str) -> Iterator[Cause]:
    servers = (spec.get("dnsConfig") or {}).get("nameservers") or []
    if spec.get("dnsPolicy") == "None" and "dnsConfig" not in spec:
        yield required(f"{path}.dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None")
    elif spec.get("dnsPolicy") == "None" and not servers:
        message = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        yield required(f"{path}.dnsConfig.nameservers", message)
    for index, server in enumerate(servers):
        yield from _ip_faults(server, f"{path}.dnsConfig.nameservers[{index}]")
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        yield from _ip_faults(str(alias.get("ip", "")), f"{path}.hostAliases[{index}].ip")


def _ip_faults(text: str, path: str) -> Iterator[Cause]:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        yield wrong(path, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")


def _toleration_faults(tolerations: Sequence[Manifest], path: str) -> Iterator[Cause]:
    for index, toleration in enumerate(tolerations):
        operator = toleration.get("operator", "")
        if not toleration.get("key") and operator != "Exists":
            message = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            yield wrong(f"{path}[{index}].operator", operator, message)
        if operator == "Exists" and toleration.get("value"):
            message = "value must be empty when `operator` is 'Exists'"
            yield wrong(f"{path}[{index}].operator", toleration["value"], message)


def _volume_faults(volumes: Sequence[Manifest], path: str) -> Iterator[Cause]:
    names: set[str] = set()
    for index, volume in enumerate(volumes):
        name, where = volume.get("name", ""), f"{path}[{index}]"
        if not name:
            yield required(f"{where}.name")
        else:
            yield from (wrong(f"{where}.name", name, fault) for fault in label_faults(name))
        if name in names:
            yield duplicate(f"{where}.name", name)
        names.add(name)
        # In the order in which Kubernetes looks for them: the first one counts.
        given = [key for key in volume if key != "name"]
        sources = sorted(given, key=lambda key: SOURCES.index(key) if key in SOURCES else len(SOURCES))
        for source in sources[1:]:
            yield forbidden(f"{where}.{source}", "may not specify more than 1 volume type")


def _container_faults(container: Manifest, path: str, volumes: set[str]) -> Iterator[Cause]:
    name, image = container.get("name", ""), container.get("image", "")
    if not name:
        yield required(f"{path}.name")
    else:
        yield from (wrong(f"{path}.name", name, fault) for fault in label_faults(name))
    if not image:
        yield required(f"{path}.image")
    elif image != image.strip():
        yield wrong(f"{path}.image", image, "must not have leading or trailing whitespace")
    yield from _port_faults(container.get("ports") or [], f"{path}.ports")
    for index, variable in enumerate(container.get("env") or ()):
        yield from _variable_faults(variable, f"{path}.env[{index}]")
    yield from _mount_faults(container.get("volumeMounts") or [], f"{path}.volumeMounts", volumes)
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe in container:
            yield from _probe_faults(container[probe], f"{path}.{probe}", is_liveness=probe != "readinessProbe")
    for hook, handler in (container.get("lifecycle") or {}).items():
        if isinstance(handler, dict):
            yield from _handler_faults(handler, f"{path}.lifecycle.{hook}", HOOKS)
    yield from _resource_faults(container.get("resources") or {}, f"{path}.resources")


def _port_faults(ports: Sequence[Manifest], path: str) -> Iterator[Cause]:
    names: set[str] = set()
    for index, port in enumerate(ports):
        where, name = f"{path}[{index}]", port.get("name", "")
        if name:
            yield from (wrong(f"{where}.name", name, fault) for fault in port_name_faults(name))
            if name in names:
                yield duplicate(f"{where}.name", name)
            names.add(name)
        if not port.get("containerPort"):
            yield required(f"{where}.containerPort")
        elif not is_port(port["containerPort"]):
            yield wrong(f"{where}.containerPort", port["containerPort"], PORT_RANGE)
        if port.get("hostPort") and not is_port(port["hostPort"]):
            yield wrong(f"{where}.hostPort", port["hostPort"], PORT_RANGE)


def _variable_faults(variable: Manifest, path: str) -> Iterator[Cause]:
    name, source = variable.get("name", ""), variable.get("valueFrom")
    if not name:
        yield required(f"{path}.name")
    elif "=" in name or not all(" " <= char <= "~" for char in name):
        message = "a valid environment variable name must consist only of printable ASCII characters other than '='"
        yield wrong(f"{path}.name", name, message)
    if source is None:
        return
    given = [kind for kind in ENV_SOURCES if kind in source]
    if variable.get("value"):
        yield wrong(f"{path}.valueFrom", "", "may not be specified when `value` is not empty")
    elif not given:
        listed = ", ".join(f"`{kind}`" for kind in ENV_SOURCES[:-1]) + f" or `{ENV_SOURCES[-1]}`"
        yield wrong(f"{path}.valueFrom", "", f"must specify one of: {listed}")
    elif len(given) > 1:
        yield wrong(f"{path}.valueFrom", "", "may not have more than one field specified at a time")
    if "fieldRef" in source:
        yield from _field_faults(source["fieldRef"], f"{path}.valueFrom.fieldRef")
    for kind in ("configMapKeyRef", "secretKeyRef"):
        if kind in source:
            key = source[kind].get("key", "")
            where = f"{path}.valueFrom.{kind}.key"
            yield from (
                [required(where)] if not key else [wrong(where, key, fault) for fault in config_key_faults(key)]
            )


def _field_faults(reference: Manifest, path: str) -> Iterator[Cause]:
    field = str(reference.get("fieldPath", ""))
    subscripted = field.startswith(("metadata.labels['", "metadata.annotations['")) and field.endswith("']")
    if not field:
        yield required(f"{path}.fieldPath")
    elif field not in {*FIELDS, *STATUS_FIELDS} and not subscripted:
        message = f"error converting fieldPath: field label not supported: {field}"
        yield wrong(f"{path}.fieldPath", field, message)


def _mount_faults(mounts: Sequence[Manifest], path: str, volumes: set[str]) -> Iterator[Cause]:
    places: set[str] = set()
    for index, mount in enumerate(mounts):
        where, name, place = f"{path}[{index}]", mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            yield required(f"{where}.name")
        if name not in volumes:
            yield Cause(f"{where}.name", "FieldValueNotFound", f'Not found: "{name}"')
        if not place:
            yield required(f"{where}.mountPath")
        if place in places:
            yield wrong(f"{where}.mountPath", place, "must be unique")
        places.add(place)


def _probe_faults(probe: Manifest, path: str, *, is_liveness: bool) -> Iterator[Cause]:
    yield from _handler_faults(probe, path, HANDLERS)
    for field in (
        *("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"),
        "terminationGracePeriodSeconds",
    ):
        if probe.get(field, 0) < 0:
            yield wrong(f"{path}.{field}", probe[field], "must be greater than or equal to 0")
    if is_liveness and probe.get("successThreshold", 1) != 1:
        yield wrong(f"{path}.successThreshold", probe["successThreshold"], "must be 1")


def _handler_faults(handler: Manifest, path: str, kinds: Sequence[str]) -> Iterator[Cause]:
    given = [kind for kind in kinds if kind in handler]
    if not given:
        yield required(path, "must specify a handler type")
    for kind in given[1:]:
        yield forbidden(f"{path}.{kind}", "may not specify more than 1 handler type")
    for kind in given[:1]:
        if kind == "exec" and not handler["exec"].get("command"):
            yield required(f"{path}.exec.command")
        if kind == "httpGet" and not handler["httpGet"].get("path"):
            yield required(f"{path}.httpGet.path")
        if kind in {"httpGet", "tcpSocket", "grpc"}:
            yield from port_reference_faults(handler[kind].get("port", 0), f"{path}.{kind}.port")


def _resource_faults(resources: Manifest, path: str) -> Iterator[Cause]:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for kind, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            if quantity(amount) < 0:
                yield wrong(f"{path}.{kind}[{name}]", amount, "must be greater than or equal to 0")
    for name in requests.keys() & limits.keys():
        if quantity(requests[name]) > quantity(limits[name]):
            message = f"must be less than or equal to {name} limit of {limits[name]}"
            yield wrong(f"{path}.requests", requests[name], message)


def _change_faults(spec: Manifest, old: Manifest) -> Iterator[Cause]:
    """What an update of a pod may not do."""
    for kind in ("containers", "initContainers"):
        if len(spec.get(kind) or ()) != len(old.get(kind) or ()):
            yield forbidden(f"spec.{kind}", "pod updates may not add or remove containers")
            return
    deadline, before = spec.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")
    if before is not None and deadline is None:
        message = "must not update from a positive integer to nil value"
        yield wrong("spec.activeDeadlineSeconds", None, message)
    elif before is not None and deadline is not None and deadline > before:
        yield wrong("spec.activeDeadlineSeconds", deadline, "must be less than or equal to previous value")
    for toleration in old.get("tolerations") or ():
        if not any(_covers(each, toleration) for each in spec.get("tolerations") or ()):
            yield forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")
    gates = [gate.get("name") for gate in old.get("schedulingGates") or ()]
    for index, gate in enumerate(spec.get("schedulingGates") or ()):
        if gate.get("name") not in gates:
            message = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
            yield forbidden(f"spec.schedulingGates[{index}].name", message)
    if _frozen(spec) != _frozen(old):
        yield forbidden("spec", FROZEN)


def _covers(toleration: Manifest, old: Manifest) -> bool:
    fields = ("key", "operator", "value", "effect")
    return all(toleration.get(field) == old.get(field) for field in fields)


def _frozen(spec: Manifest) -> Manifest:
    kept = {
        key: value
        for key, value in spec.items()
        if key not in {"activeDeadlineSeconds", "tolerations", "schedulingGates", "ephemeralContainers"}
    }
    for kind in ("containers", "initContainers"):
        kept[kind] = [{**container, "image": ""} for container in spec.get(kind) or ()]
    return kept
