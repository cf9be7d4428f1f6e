"""An operator's questions from top to bottom, first whether anything is wrong at all, and what answers them."""

from dataclasses import dataclass
from itertools import chain
from typing import Final

# What the variables at the top leave: of a hub's series by set, of an agent's by member too.
_OF_SET: Final = 'set=~"$set"'
_OF_MEMBER: Final = f'{_OF_SET}, member=~"$member"'


@dataclass(frozen=True)
class Query:
    """An expression, and how its series are called; `{{label}}` in that is a label's value."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One question: its title, what the answer means, and the queries; `width` of 24.

    `kind` is Grafana's. Values of a `bad_from` and above are red.
    """

    title: str
    text: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    unit: str = "short"
    width: int = 8
    bad_from: float | None = None


@dataclass(frozen=True)
class Row:
    """A question to begin with, and the panels that answer it."""

    title: str
    panels: tuple[Panel, ...]


ROWS: Final = (
    Row(
        "Is the set whole, and which member is silent?",
        (
            Panel(
                "Members that are well",
                "By the hub's verdict, and by what their agents tell of themselves.",
                (Query(f'sum by (set) (isthmus_members{{{_OF_SET}, health="Healthy"}})', "{{set}}"),),
                "stat",
                width=4,
            ),
            Panel(
                "Members that are not",
                "Silent: no heartbeat. Unanswered: its address does not answer. Joining: its agent has not reported.",
                (Query(f'sum by (health) (isthmus_members{{{_OF_SET}, health!="Healthy"}})', "{{health}}"),),
                "stat",
                width=6,
                bad_from=1,
            ),
            Panel(
                "Verdicts held back",
                "1: so many fell silent at once that the hub doubts itself, and judges nobody for five minutes.",
                (Query(f"max by (set) (isthmus_verdicts_held{{{_OF_SET}}})", "{{set}}"),),
                "stat",
                width=4,
                bad_from=1,
            ),
            Panel(
                "Who is not well",
                "Type: isthmus describe cluster NAME",
                (
                    Query(
                        f'max by (set, member, health) (isthmus_member_health{{{_OF_MEMBER}, health!="Healthy"}})',
                        "{{member}}: {{health}}",
                    ),
                ),
                "table",
                width=10,
            ),
        ),
    ),
    Row(
        "Does each agent reach the hub?",
        (
            Panel(
                "Hub reached",
                "0: imports stay as they are, and changes do not cross. Type: isthmus doctor --context NAME",
                (Query(f"max by (set, member) (isthmus_hub_reachable{{{_OF_MEMBER}}})", "{{set}} {{member}}"),),
                "state-timeline",
                width=12,
            ),
            Panel(
                "Last word of the hub",
                "A hub with nothing to tell gives a sign about once a minute.",
                (
                    Query(
                        f"max by (set, member) (isthmus_hub_last_heard_seconds{{{_OF_MEMBER}}})", "{{set}} {{member}}"
                    ),
                ),
                unit="s",
                width=6,
            ),
            Panel(
                "Life left of the credential",
                "Tokens are renewed when half of their life is over; below a tenth somebody has to act.",
                (
                    Query(
                        f"min by (set, member) (isthmus_hub_credential_left_ratio{{{_OF_MEMBER}}})",
                        "{{set}} {{member}}",
                    ),
                ),
                unit="percentunit",
                width=6,
            ),
        ),
    ),
    Row(
        "Are exports and imports late or failing?",
        (
            Panel(
                "Exports and imports",
                "As each cluster has them.",
                (
                    Query(f"max by (set, member) (isthmus_exports{{{_OF_MEMBER}}})", "{{set}} {{member}} exports"),
                    Query(f"max by (set, member) (isthmus_imports{{{_OF_MEMBER}}})", "{{set}} {{member}} imports"),
                ),
            ),
            Panel(
                "Not ready",
                "By the reason that their condition says; kubectl describe tells the rest.",
                (
                    Query(
                        f"max by (set, member, reason) (isthmus_exports_not_ready{{{_OF_MEMBER}}}) > 0",
                        "{{set}} {{member}} exports: {{reason}}",
                    ),
                    Query(
                        f"max by (set, member, reason) (isthmus_imports_not_ready{{{_OF_MEMBER}}}) > 0",
                        "{{set}} {{member}} imports: {{reason}}",
                    ),
                ),
            ),
            Panel(
                "In conflict, or held",
                "Exports whose clusters disagree; imports that keep an exporter until it is sure that it is gone.",
                (
                    Query(
                        f"max by (set, member) (isthmus_export_conflicts{{{_OF_MEMBER}}})",
                        "{{set}} {{member}} conflicts",
                    ),
                    Query(f"max by (set, member) (isthmus_imports_held{{{_OF_MEMBER}}})", "{{set}} {{member}} held"),
                ),
            ),
            Panel(
                "Longest failing change",
                "Since when the key that fails longest has not gone well; 0 while none fails.",
                (
                    Query(
                        f"max by (set, member, controller) (isthmus_overdue_seconds{{{_OF_SET}}})",
                        "{{set}} {{member}} {{controller}}",
                    ),
                ),
                unit="s",
                width=6,
            ),
            Panel(
                "Waiting for a worker",
                "Keys; what stays high is more work than is done.",
                (
                    Query(
                        f"sum by (set, member, controller) (isthmus_queue_depth{{{_OF_SET}}})",
                        "{{set}} {{member}} {{controller}}",
                    ),
                ),
                width=6,
            ),
            Panel(
                "Time per change",
                "What 99 of 100 take at most.",
                (
                    Query(
                        "histogram_quantile(0.99, sum by (le, controller) "
                        f"(rate(isthmus_reconcile_seconds_bucket{{{_OF_SET}}}[$__rate_interval])))",
                        "{{controller}}",
                    ),
                ),
                unit="s",
                width=6,
            ),
            Panel(
                "Endpoints of other clusters",
                "In imported EndpointSlices.",
                (Query(f"max by (set, member) (isthmus_imported_endpoints{{{_OF_MEMBER}}})", "{{set}} {{member}}"),),
                width=6,
            ),
        ),
    ),
    Row(
        "Do names answer?",
        (
            Panel(
                "Answers",
                "By response code; NXDOMAIN is an answer too.",
                (
                    Query(
                        "sum by (instance, rcode) (rate(isthmus_dns_answers_total[$__rate_interval]))",
                        "{{instance}} {{rcode}}",
                    ),
                ),
                unit="reqps",
            ),
            Panel(
                "Share of failures",
                "SERVFAIL: the server has not read its cluster since it began.",
                (
                    Query(
                        'sum by (instance) (rate(isthmus_dns_answers_total{rcode="SERVFAIL"}[$__rate_interval])) '
                        "/ sum by (instance) (rate(isthmus_dns_answers_total[$__rate_interval]))",
                        "{{instance}}",
                    ),
                ),
                unit="percentunit",
            ),
            Panel(
                "Time per batch of queries",
                "What 99 of 100 batches take at most, once they are read; one alone is a batch too.",
                (
                    Query(
                        "histogram_quantile(0.99, sum by (le, instance) "
                        "(rate(isthmus_dns_round_seconds_bucket[$__rate_interval])))",
                        "{{instance}}",
                    ),
                ),
                unit="s",
            ),
        ),
    ),
    Row(
        "Who leads, and who has to try again?",
        (
            Panel(
                "Leaders",
                "One for each Lease; agents and hubs run twice.",
                (Query(f"sum by (set, member, lease) (isthmus_leader{{{_OF_SET}}})", "{{set}} {{member}} {{lease}}"),),
                "state-timeline",
                width=12,
            ),
            Panel(
                "Elections",
                "Per hour; each upgrade and drained node is one.",
                (
                    Query(
                        f"sum by (set, member, lease) (changes(isthmus_leader{{{_OF_SET}}}[1h]))",
                        "{{set}} {{member}} {{lease}}",
                    ),
                ),
                width=6,
            ),
            Panel(
                "Changes that failed",
                "Tried again, with pauses that grow.",
                (
                    Query(
                        "sum by (set, member, controller) "
                        f'(rate(isthmus_reconciles_total{{{_OF_SET}, outcome="failed"}}[$__rate_interval]))',
                        "{{set}} {{member}} {{controller}}",
                    ),
                ),
                unit="ops",
                width=6,
            ),
            Panel(
                "Watches that fail now",
                "A list or watch that the server does not grant: what is known of it grows old.",
                (
                    Query(
                        "sum by (instance, server, kind) (isthmus_watch_failing) > 0",
                        "{{instance}} {{server}} {{kind}}",
                    ),
                ),
            ),
            Panel(
                "Watches begun again",
                "Servers end each after some minutes; more than that is back-off.",
                (
                    Query(
                        "sum by (instance, server) (rate(isthmus_watch_restarts_total[$__rate_interval]))",
                        "{{instance}} {{server}}",
                    ),
                ),
                unit="ops",
            ),
            Panel(
                "Complete lists, objects set aside",
                "A list is read when a watch can not go on; what does not decode is treated as if it were not there.",
                (
                    Query(
                        "sum by (instance, server) (rate(isthmus_lists_total[$__rate_interval]))",
                        "{{instance}} {{server}} lists/s",
                    ),
                    Query(
                        "sum by (instance, server, kind) (isthmus_store_undecodable) > 0",
                        "{{instance}} {{server}} {{kind}} set aside",
                    ),
                ),
            ),
        ),
    ),
    Row(
        "What does it take?",
        (
            Panel(
                "Memory",
                "Resident.",
                (Query("process_resident_memory_bytes and on (job, instance) isthmus_build_info", "{{instance}}"),),
                unit="bytes",
            ),
            Panel(
                "Processor",
                "Cores.",
                (
                    Query(
                        "rate(process_cpu_seconds_total[$__rate_interval]) and on (job, instance) isthmus_build_info",
                        "{{instance}}",
                    ),
                ),
            ),
            Panel(
                "Releases, objects held",
                "Which release runs how often; how much is held of what is watched.",
                (
                    Query("count by (version) (isthmus_build_info)", "{{version}}"),
                    Query("sum by (instance) (isthmus_store_objects)", "{{instance}} objects"),
                ),
            ),
        ),
    ),
)


def expressions() -> tuple[str, ...]:
    """All that the panels ask for."""
    panels = chain.from_iterable(row.panels for row in ROWS)
    return tuple(query.expr for panel in panels for query in panel.queries)
