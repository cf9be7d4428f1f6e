"""What becomes of a Service's addresses and ports when it is updated: what stays, what goes with its type."""

from isthmus.api.scheme import Manifest

NONE, SINGLE = "None", "SingleStack"
EXTERNAL_NAME, LOAD_BALANCER = "ExternalName", "LoadBalancer"
WITH_NODE_PORTS = ("NodePort", LOAD_BALANCER)


def carry_over(spec: Manifest, before: Manifest) -> None:
    """Bring a Service's new spec, in place, into line with the one before."""
    _follow_address(spec, before)
    _drop_with_type(spec, before)
    if EXTERNAL_NAME not in {spec.get("type"), before.get("type")}:
        _keep_allocated(spec, before)


def _follow_address(spec: Manifest, before: Manifest) -> None:
    """Where only the older field was changed, the list follows it."""
    address, several = spec.get("clusterIP", ""), spec.get("clusterIPs") or []
    if several and several == before.get("clusterIPs") and address != before.get("clusterIP"):
        if address:
            spec["clusterIPs"] = [address, *several[1:]]
        else:
            spec.pop("clusterIPs")


def _drop_with_type(spec: Manifest, before: Manifest) -> None:
    """What only the old type needed goes, unless the caller changed it on purpose."""
    wanted, had = spec.get("type"), before.get("type")
    same = spec.get("clusterIPs") == before.get("clusterIPs") and spec.get("clusterIP") == before.get("clusterIP")
    gone = not spec.get("clusterIPs") and not spec.get("clusterIP")
    if wanted == EXTERNAL_NAME and had != EXTERNAL_NAME and (same or gone):
        for own in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            spec.pop(own, None)
    if had in WITH_NODE_PORTS and wanted not in WITH_NODE_PORTS:
        for port, old in zip(spec.get("ports") or (), before.get("ports") or (), strict=False):
            if port.get("nodePort") == old.get("nodePort"):
                port.pop("nodePort", None)
    kept = spec.get("externalTrafficPolicy") == before.get("externalTrafficPolicy")
    if kept and _is_external(before) and not _is_external(spec):
        spec.pop("externalTrafficPolicy", None)
    if had == LOAD_BALANCER and wanted != LOAD_BALANCER:
        for own in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if spec.get(own) == before.get(own):
                spec.pop(own, None)


def _is_external(spec: Manifest) -> bool:
    return spec.get("type") in WITH_NODE_PORTS or bool(spec.get("externalIPs"))


def _keep_allocated(spec: Manifest, before: Manifest) -> None:
    """What an update leaves out and the Service already has stays."""
    if not spec.get("clusterIP") and not spec.get("clusterIPs") and before.get("clusterIP"):
        spec |= {"clusterIP": before["clusterIP"], "clusterIPs": before.get("clusterIPs", [])}
    if not spec.get("ipFamilies") and before.get("ipFamilies"):
        spec["ipFamilies"] = before["ipFamilies"]
    if spec.get("ipFamilyPolicy") == SINGLE and before.get("ipFamilyPolicy") != SINGLE:
        # Going single-stack drops what was second, unless the caller insists on it.
        for several in ("clusterIPs", "ipFamilies"):
            if spec.get(several) == before.get(several):
                spec[several] = (spec.get(several) or [])[:1]
    if spec.get("type") not in WITH_NODE_PORTS:
        return
    known = {
        (each.get("port"), each.get("protocol", "TCP")): each.get("nodePort") for each in before.get("ports") or ()
    }
    for port in spec.get("ports") or ():
        number = known.get((port.get("port"), port.get("protocol", "TCP")))
        if number and not port.get("nodePort"):
            port["nodePort"] = number
