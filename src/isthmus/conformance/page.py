"""A report as a web page of one file: without scripts, and nothing of it comes from elsewhere."""

from html import escape
from typing import Final

from isthmus.conformance.report import Report, Result

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 72em; padding: 0 1em; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid #ccc; padding: .3em .8em .3em 0; text-align: left; vertical-align: top; }
.passed { color: #1a7f37; } .failed { color: #cf222e; } .skipped, .unknown { color: #9a6700; }
pre { margin: .3em 0; white-space: pre-wrap; }
"""


def as_html(report: Report) -> str:
    """The whole report for a browser, its verdict and its counts first; what clusters said is only ever text."""
    verdict = "conformant" if report.conformant else "not conformant"
    title = escape(f"{report.suite}: {verdict}")
    clusters = escape(", ".join(f"{name} ({version})" for name, version in report.contexts.items()))
    counts = [
        _row(level, ", ".join(f"{count} {outcome}" for outcome, count in counted.items()))
        for level, counted in report.summary().items()
    ]
    lines = (
        "<!DOCTYPE html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style></head><body>',
        f"<h1>{title}</h1>",
        f"<p>{clusters}; {report.started:%Y-%m-%d %H:%M UTC}, {report.seconds:.0f} s</p>",
        "<table>",
        *counts,
        "</table>",
        "<table><tr><th>Check<th>Level<th>Result<th>Seconds<th>What it is about, and what was seen</tr>",
        *map(_check, report.results),
        "</table></body></html>",
    )
    return "\n".join(lines) + "\n"


def _row(*cells: str) -> str:
    return f"<tr>{''.join(f'<td>{cell}' for cell in cells)}</tr>"


def _check(result: Result) -> str:
    check, outcome = result.check, result.outcome.value
    seen = escape("\n".join(result.evidence))
    about = (
        f"{escape(check.title)} <small>{escape(' '.join(check.requirements))}</small>"
        + (f"<br><strong>{escape(result.reason)}</strong>" if result.reason else "")
        + (f"<details><summary>evidence</summary><pre>{seen}</pre></details>" if seen else "")
    )
    said = f'<span class="{outcome}">{outcome}</span>'
    return _row(escape(check.id), escape(check.level.value), said, f"{result.seconds:.1f}", about)
