"""Alerts: each expression is PromQL, each sentence holds what a person needs, and each condition goes both ways."""

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml
from promql_parser import parse, parse_duration

from isthmus.cli.main import cli
from isthmus.install.monitoring.alerts import ALERTS, CRITICAL, WARNING, Alert, rules, table
from tests.install.monitoring.promql import Scrapes, fires, result_labels

BY_NAME = {alert.name: alert for alert in ALERTS}
TEMPLATED = re.compile(r"{{ (\$\w+)(?:\.(\w+))?[^}]*}}")
OPERATIONS = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
EAST, PROD = 'set="prod",member="east"', 'set="prod"'


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_is_promql_and_speaks_of_labels_that_it_has(alert: Alert) -> None:
    labels = result_labels(parse(alert.expr))
    assert {name for _, name in TEMPLATED.findall(alert.summary) if name} <= labels
    assert parse_duration(alert.lasts) is not None
    assert alert.severity in {CRITICAL, WARNING}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_what_an_alert_says_to_type_is_understood(alert: Alert) -> None:
    program, *words = shlex.split(TEMPLATED.sub("east", alert.command))
    if program == "kubectl":
        return
    assert program == "isthmus"
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None, alert.command
        command = found
    command.make_context(command.name or "", words)


def test_names_are_unique_and_a_file_of_rules_has_them_all() -> None:
    (group,) = yaml.safe_load(yaml.safe_dump(rules()))["groups"]
    assert [rule["alert"] for rule in group["rules"]] == list(BY_NAME)
    assert all(rule["annotations"]["summary"].count(" Type: ") == 1 for rule in group["rules"])


def test_the_docs_have_the_table_of_all_alerts() -> None:
    assert table() in OPERATIONS


# Of each alert a scrape of a target for which it holds, and one that is as close to it as a healthy set comes.
BOTH_WAYS = [
    pytest.param(
        "IsthmusMemberSilent",
        f'isthmus_member_health{{{EAST},health="Silent"}} 1',
        f'isthmus_member_health{{{EAST},health="Joining"}} 1',
        id="a member is silent, not: is new",
    ),
    pytest.param(
        "IsthmusVerdictsHeld",
        f"isthmus_verdicts_held{{{PROD}}} 1",
        f"isthmus_verdicts_held{{{PROD}}} 0",
        id="verdicts are held",
    ),
    pytest.param(
        "IsthmusMemberUnanswered",
        f'isthmus_member_health{{{EAST},health="Unanswered"}} 1',
        f'isthmus_member_health{{{EAST},health="Healthy"}} 1',
        id="an address does not answer",
    ),
    pytest.param(
        "IsthmusHubUnreachable",
        f"isthmus_hub_reachable{{{EAST}}} 0",
        f"isthmus_hub_reachable{{{EAST}}} 1",
        id="the hub is away",
    ),
    pytest.param(
        "IsthmusHubCredentialEnds",
        f"isthmus_hub_credential_left_ratio{{{EAST}}} 0.09",
        # Renewed when half of its life is over.
        f"isthmus_hub_credential_left_ratio{{{EAST}}} 0.49",
        id="a token ends, not: is due",
    ),
    pytest.param(
        "IsthmusNobodyLeads",
        f'isthmus_leader{{{EAST},lease="isthmus-agent"}} 0',
        f'isthmus_leader{{{EAST},lease="isthmus-agent"}} 1',
        id="nobody leads",
    ),
    pytest.param(
        "IsthmusCannotFollow",
        f'isthmus_watch_failing{{{EAST},server="https://east",kind="Service"}} 1',
        f'isthmus_watch_failing{{{EAST},server="https://east",kind="Service"}} 0',
        id="a watch fails",
    ),
    pytest.param(
        "IsthmusChangesLate",
        f'isthmus_overdue_seconds{{{EAST},controller="imports"}} 61',
        f'isthmus_overdue_seconds{{{EAST},controller="imports"}} 59',
        id="a change fails for long, not: for a while",
    ),
    pytest.param(
        "IsthmusImportsNotReady",
        f'isthmus_imports_not_ready{{{EAST},reason="Failed"}} 1',
        f'isthmus_imports_not_ready{{{EAST},reason="IPFamilyNotSupported"}} 1',
        id="an import fails, not: has no family here",
    ),
    pytest.param(
        "IsthmusExportsNotReady",
        f'isthmus_exports_not_ready{{{EAST},reason="Pending"}} 1',
        f'isthmus_exports_not_ready{{{EAST},reason="NoService"}} 1',
        id="an export does not arrive, not: has no Service",
    ),
    pytest.param(
        "IsthmusObjectsSetAside",
        f'isthmus_store_undecodable{{{EAST},server="https://hub",kind="Member"}} 1',
        f'isthmus_store_undecodable{{{EAST},server="https://hub",kind="Member"}} 0',
        id="an object does not decode",
    ),
]


@pytest.mark.parametrize(("name", "broken", "well"), BOTH_WAYS)
def test_an_alert_fires_where_it_should_and_nowhere_else(name: str, broken: str, well: str) -> None:
    for text, count in ((broken, 1), (well, 0)):
        scrapes = Scrapes()
        scrapes.add(30.0, "pod", text + "\n")
        firing = [alert.name for alert in ALERTS if fires(alert.expr, scrapes, 31.0)]
        assert firing == [name] * count


def test_dns_fails_from_one_answer_in_twenty_on() -> None:
    def answers(failed: int, well: int) -> str:
        counts = {"SERVFAIL": failed, "NXDOMAIN": well}
        return "".join(f'isthmus_dns_answers_total{{type="A",rcode="{k}"}} {v}\n' for k, v in counts.items())

    for failed, is_firing in ((4, False), (6, True)):
        scrapes = Scrapes()
        scrapes.add(0.0, "pod", answers(100, 100))
        scrapes.add(30.0, "pod", answers(100 + failed, 200 - failed))
        assert bool(fires(BY_NAME["IsthmusDNSFailing"].expr, scrapes, 31.0)) == is_firing


def test_who_is_cut_off_from_its_hub_fires_one_alert_for_that_and_not_one_for_each_of_its_watches() -> None:
    scrapes = Scrapes()
    text = "\n".join(
        [
            f"isthmus_hub_reachable{{{EAST}}} 0",
            f'isthmus_watch_failing{{{EAST},server="https://hub",kind="Member"}} 1',
            f'isthmus_overdue_seconds{{{EAST},controller="exports"}} 300',
            f'isthmus_exports_not_ready{{{EAST},reason="Pending"}} 2',
        ]
    )
    scrapes.add(0.0, "pod", text + "\n")
    scrapes.add(0.0, "dns", 'isthmus_watch_failing{server="https://east",kind="Namespace"} 1\n')
    firing = {alert.name: fires(alert.expr, scrapes, 1.0) for alert in ALERTS}
    assert {name for name, found in firing.items() if found} == {"IsthmusHubUnreachable", "IsthmusCannotFollow"}
    assert firing["IsthmusCannotFollow"] == [{"server": "https://east"}]


def test_a_hub_whose_processes_are_all_gone_is_missed_and_an_agent_that_was_taken_away_is_not() -> None:
    led = 'isthmus_leader{{{who},lease="{lease}"}} 1\n'
    scrapes = Scrapes()
    scrapes.add(0.0, "hub", led.format(who=PROD, lease="isthmus-hub-prod"))
    scrapes.add(0.0, "agent", led.format(who=EAST, lease="isthmus-agent"))
    assert fires(BY_NAME["IsthmusNobodyLeads"].expr, scrapes, 10.0) == []
    scrapes.add(30.0, "hub", "")
    scrapes.add(30.0, "agent", "")
    assert fires(BY_NAME["IsthmusNobodyLeads"].expr, scrapes, 40.0) == [{"set": "prod", "lease": "isthmus-hub-prod"}]


def test_while_one_gives_way_to_the_other_somebody_leads() -> None:
    scrapes = Scrapes()
    for pod, leads in (("one", 0), ("two", 1)):
        scrapes.add(0.0, pod, f'isthmus_leader{{{EAST},lease="isthmus-agent"}} {leads}\n')
    assert fires(BY_NAME["IsthmusNobodyLeads"].expr, scrapes, 1.0) == []
