"""When somebody has to look: Prometheus alerts, each with what is wrong, what that means, and what to type.

Thresholds follow the set's own clockwork: no alert fires while that still does what it is there for.
"""

import re
from dataclasses import dataclass
from typing import Final

from isthmus.api.scheme import Manifest
from isthmus.inventory.rules.health import USUAL
from isthmus.kube.informer import BACKOFF_CAP

CRITICAL, WARNING = "critical", "warning"
# The labels by which members of all sets are told apart, however they are scraped; a hub has no member.
_WHO: Final = "set, member"
# Who hears nothing of its hub knows that its changes wait: one alert for one fault.
_BUT_CUT_OFF: Final = f"unless on ({_WHO}) (isthmus_hub_reachable == 0)"
_GRACE: Final = f"{USUAL.silent_after:g}s"
# A hub or an API server that is replaced is back by then, and whoever was silent is judged.
_TWO_GRACES: Final = f"{2 * USUAL.silent_after:g}s"
# Seconds: twelve tries at the longest pause between two.
_OVERDUE: Final = f"{12 * BACKOFF_CAP:g}"
_DESCRIBE: Final = "isthmus describe cluster {{ $labels.member }} --set {{ $labels.set }}"
_DOCTOR: Final = "isthmus doctor --context {{ $labels.member }}"
_CLUSTERS: Final = "isthmus clusters -o wide --set {{ $labels.set }}"


@dataclass(frozen=True)
class Alert:
    """One alert: its condition in PromQL, for how long that holds, and what it tells a person.

    `says` is what is wrong, `means` what users of the set notice, `command` what to type next; `{{ $labels.x }}` in
    them is a label of the condition's result.
    """

    name: str
    expr: str
    lasts: str
    severity: str
    says: str
    means: str
    command: str

    @property
    def summary(self) -> str:
        """All three in one."""
        return f"{self.says}. {self.means} Type: {self.command}"

    def rule(self) -> Manifest:
        """As it stands in a file of rules."""
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": self.lasts,
            "labels": {"severity": self.severity},
            "annotations": {"summary": self.summary},
        }


ALERTS: Final = (
    Alert(
        "IsthmusMemberSilent",
        f'max by ({_WHO}) (isthmus_member_health{{health="Silent"}}) == 1',
        # The verdict itself has waited for a grace.
        _GRACE,
        CRITICAL,
        "Member {{ $labels.member }} of set {{ $labels.set }} is silent: the hub hears no heartbeat of its agent",
        "Other clusters leave its endpoints out; its own services go on.",
        _DESCRIBE,
    ),
    Alert(
        "IsthmusVerdictsHeld",
        "max by (set) (isthmus_verdicts_held) == 1",
        _GRACE,
        CRITICAL,
        "More than a third of set {{ $labels.set }} fell silent at once: the hub doubts itself and judges nobody",
        f"For {USUAL.hold / 60:g} minutes all endpoints stay as they are; then those still silent are left out.",
        _CLUSTERS,
    ),
    Alert(
        "IsthmusMemberUnanswered",
        f'max by ({_WHO}) (isthmus_member_health{{health="Unanswered"}}) == 1',
        "5m",
        WARNING,
        "The published address of member {{ $labels.member }} of set {{ $labels.set }} does not answer its own agent",
        "Its services go on; tools that reach it by its ClusterProfile do not get through.",
        _DESCRIBE,
    ),
    Alert(
        "IsthmusHubUnreachable",
        f"max by ({_WHO}) (isthmus_hub_reachable) == 0",
        _TWO_GRACES,
        CRITICAL,
        "The agent of {{ $labels.member }} does not reach the hub of set {{ $labels.set }}",
        "What is imported goes on as it is; changes do not cross, and others soon leave this cluster's endpoints out.",
        _DOCTOR,
    ),
    Alert(
        "IsthmusHubCredentialEnds",
        f"min by ({_WHO}) (isthmus_hub_credential_left_ratio) < 0.1",
        "5m",
        WARNING,
        "Less than a tenth of the life of {{ $labels.member }}'s token for the hub of set {{ $labels.set }} is left",
        "When it ends, the agent no longer reaches the hub: `isthmus join` or `isthmus install member` brings another.",
        _DOCTOR,
    ),
    Alert(
        "IsthmusNobodyLeads",
        f"sum by ({_WHO}, lease) (isthmus_leader) == 0 or "
        # A hub whose processes are all gone says nothing; of an agent that is gone, the hub says Silent.
        f'sum by ({_WHO}, lease) (max_over_time(isthmus_leader{{lease=~"isthmus-hub-.+"}}[1h])) '
        f"unless sum by ({_WHO}, lease) (isthmus_leader)",
        "2m",
        CRITICAL,
        "No process leads by Lease {{ $labels.lease }} (set {{ $labels.set }} {{ $labels.member }})",
        "Nothing of its work is done: without a hub's leader nobody is judged or admitted, without an agent's no "
        "change crosses.",
        "kubectl -n isthmus-system get pods,leases",
    ),
    Alert(
        "IsthmusCannotFollow",
        f"max by ({_WHO}, instance, server) (isthmus_watch_failing) > 0 {_BUT_CUT_OFF}",
        "2m",
        CRITICAL,
        "{{ $labels.instance }} cannot follow {{ $labels.server }}: a list or watch is not granted",
        "It goes on with what it knew last; changes there are not seen, and DNS answers grow old.",
        "isthmus doctor --context CLUSTER",
    ),
    Alert(
        "IsthmusChangesLate",
        f"max by ({_WHO}, controller) (isthmus_overdue_seconds) > {_OVERDUE} {_BUT_CUT_OFF}",
        "1m",
        WARNING,
        "A change has failed for {{ $value | humanizeDuration }} in controller {{ $labels.controller }} "
        "(set {{ $labels.set }} {{ $labels.member }})",
        "What was changed is not in effect; all else goes on. The log of the process says what is refused.",
        "isthmus doctor --context CLUSTER",
    ),
    Alert(
        "IsthmusImportsNotReady",
        # What has no address family in common here is a matter of configuration, and its import says so.
        f'max by ({_WHO}, reason) (isthmus_imports_not_ready{{reason=~"Pending|Failed"}}) > 0',
        "5m",
        WARNING,
        "{{ $value }} imports in {{ $labels.member }} of set {{ $labels.set }} are not usable: {{ $labels.reason }}",
        "Their names have no address in that cluster.",
        _DOCTOR,
    ),
    Alert(
        "IsthmusExportsNotReady",
        # A ServiceExport without its Service is its owner's matter, and its condition says so.
        f'max by ({_WHO}, reason) (isthmus_exports_not_ready{{reason=~"Pending|Failed"}}) > 0 {_BUT_CUT_OFF}',
        "5m",
        WARNING,
        "{{ $value }} exports of {{ $labels.member }} are not in set {{ $labels.set }}: {{ $labels.reason }}",
        "Other clusters do not reach these services there.",
        _DOCTOR,
    ),
    Alert(
        "IsthmusObjectsSetAside",
        f"max by ({_WHO}, instance, server, kind) (isthmus_store_undecodable) > 0",
        "10m",
        WARNING,
        "{{ $labels.instance }} set {{ $value }} objects of kind {{ $labels.kind }} aside: they do not decode",
        "They are treated as if they were not there; all others go on. The log of the process names them.",
        "isthmus doctor --context CLUSTER",
    ),
    Alert(
        "IsthmusDNSFailing",
        'sum by (instance) (rate(isthmus_dns_answers_total{rcode="SERVFAIL"}[5m])) '
        "/ sum by (instance) (rate(isthmus_dns_answers_total[5m])) > 0.05",
        "2m",
        CRITICAL,
        "{{ $labels.instance }} answers {{ $value | humanizePercentage }} of DNS queries with SERVFAIL",
        "Clients that ask it get no address under clusterset.local: since it began it has not read its cluster.",
        "isthmus doctor --context CLUSTER",
    ),
)


def rules() -> Manifest:
    """All alerts as Prometheus reads them from a file, and an operator from the `spec` of a PrometheusRule."""
    return {"groups": [{"name": "isthmus", "rules": [alert.rule() for alert in ALERTS]}]}


def table() -> str:
    """The alerts for people who read Markdown: what each says and means, and what to type."""
    lines = ["| Alert | It says | So | Type |", "|---|---|---|---|"]
    for alert in ALERTS:
        says, means, command = map(_plain, (alert.says, alert.means, alert.command))
        lines.append(f"| `{alert.name}`, after {alert.lasts} | {says} | {means} | `{command}` |")
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Templates as the label in capitals."""
    named = re.sub(r"{{ \$labels\.(\w+) }}", lambda match: match[1].upper(), text)
    return re.sub(r"{{ \$value[^}]*}}", "N", named)
