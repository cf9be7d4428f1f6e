"""As much of PromQL as the alerts need, over scrapes of real processes; a library knows the grammar.

Prometheus, "Querying". What is not known here is an error, never a guess.
"""

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from prometheus_client.parser import text_string_to_metric_families
from promql_parser import (
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    Matcher,
    MatchOp,
    MatrixSelector,
    NumberLiteral,
    ParenExpr,
    VectorSelector,
    parse,
)

# What Prometheus itself says of a target.
TARGET = frozenset({"instance", "job"})
# Seconds for which a value counts that no newer scrape has.
_LOOK_BACK = 300.0

Series = frozenset[tuple[str, str]]
Vector = dict[Series, float]
Points = dict[Series, list[tuple[float, float]]]


@dataclass
class Scrapes:
    """What was scraped, when (in seconds), of which target."""

    taken: list[tuple[float, str, dict[str, Vector]]] = field(default_factory=list)

    def add(self, at: float, instance: str, text: str) -> None:
        """One scrape; without text it failed."""
        found: dict[str, Vector] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = frozenset({*sample.labels.items(), ("instance", instance), ("job", "isthmus")})
                found.setdefault(sample.name, {})[labels] = sample.value
        self.taken.append((at, instance, found))

    def now(self, name: str, at: float) -> Vector:
        """Of each target its latest scrape: what that no longer has is stale."""
        latest = {instance: (moment, found) for moment, instance, found in self.taken if moment <= at}
        fresh = (found for moment, found in latest.values() if at - moment < _LOOK_BACK)
        return {series: value for found in fresh for series, value in found.get(name, {}).items()}

    def over(self, name: str, at: float, seconds: float) -> Points:
        """All values since so many seconds, the oldest first."""
        points: Points = {}
        for moment, _, found in self.taken:
            if at - seconds < moment <= at:
                for series, value in found.get(name, {}).items():
                    points.setdefault(series, []).append((moment, value))
        return points


def fires(expr: str, scrapes: Scrapes, at: float) -> list[dict[str, str]]:
    """The labels of what a condition holds for, without those of the target."""
    result = evaluate(parse(expr), scrapes, at)
    assert isinstance(result, dict)
    return [{name: value for name, value in series if name not in TARGET} for series in result]


def evaluate(expr: Expr, scrapes: Scrapes, at: float) -> Vector | float:
    """What an expression is at a moment."""
    match expr:
        case NumberLiteral():
            return expr.val
        case ParenExpr():
            return evaluate(expr.expr, scrapes, at)
        case VectorSelector():
            return _chosen(scrapes.now(_name(expr), at), expr.matchers.matchers)
        case Call():
            return _called(expr, scrapes, at)
        case AggregateExpr():
            return _aggregated(expr, evaluate(expr.expr, scrapes, at))
        case BinaryExpr():
            left, right = (evaluate(side, scrapes, at) for side in (expr.lhs, expr.rhs))
            return _combined(expr, left, right)
    raise NotImplementedError(str(expr))


@dataclass(frozen=True)
class Asked:
    """A metric that an expression asks for, the labels that it has to have, and whether it has to be one that rises."""

    name: str
    labels: frozenset[str] = frozenset()
    rises: bool = False


def asked_for(expr: Expr, around: Asked = Asked("")) -> Iterator[Asked]:
    """All metrics of an expression, each with what stands around it."""

    def within(inner: Expr, labels: Iterable[str] = (), *, rises: bool = False) -> Iterator[Asked]:
        return asked_for(inner, Asked("", around.labels | set(labels), around.rises or rises))

    match expr:
        case VectorSelector():
            named = {each.name for each in expr.matchers.matchers}
            yield Asked(_name(expr), around.labels | named, around.rises)
        case MatrixSelector():
            yield from within(expr.vector_selector)
        case Call():
            for arg in expr.args:
                yield from within(arg, rises=expr.func.name in {"rate", "histogram_quantile"})
        case AggregateExpr():
            yield from within(expr.expr, expr.modifier.labels if expr.modifier else ())
        case ParenExpr():
            yield from within(expr.expr)
        case BinaryExpr():
            on = expr.modifier.matching if expr.modifier else None
            yield from within(expr.lhs, on.labels if on else ())
            yield from within(expr.rhs, on.labels if on else ())


def result_labels(expr: Expr) -> frozenset[str]:
    """The labels of an expression's result: those that its first aggregation keeps."""
    if isinstance(expr, BinaryExpr):
        return result_labels(expr.lhs)
    if isinstance(expr, Call):
        return result_labels(expr.args[-1])
    if isinstance(expr, AggregateExpr) and expr.modifier is not None:
        return frozenset(expr.modifier.labels)
    return TARGET


def _name(selector: VectorSelector) -> str:
    assert selector.name is not None
    assert selector.offset is None
    return selector.name


def _chosen(vector: Vector, matchers: Sequence[Matcher]) -> Vector:
    return {series: value for series, value in vector.items() if all(_matches(dict(series), m) for m in matchers)}


def _matches(labels: dict[str, str], matcher: Matcher) -> bool:
    value = labels.get(matcher.name, "")
    is_equal = value == matcher.value
    fits = re.fullmatch(matcher.value, value) is not None
    ways = ((MatchOp.Equal, is_equal), (MatchOp.NotEqual, not is_equal), (MatchOp.Re, fits), (MatchOp.NotRe, not fits))
    return next(holds for op, holds in ways if op == matcher.op)


def _called(call: Call, scrapes: Scrapes, at: float) -> Vector:
    (matrix,) = call.args
    assert isinstance(matrix, MatrixSelector)
    selector = matrix.vector_selector
    points = scrapes.over(_name(selector), at, matrix.range.total_seconds())
    kept = _chosen(dict.fromkeys(points, 0.0), selector.matchers.matchers)
    if call.func.name == "max_over_time":
        return {series: max(value for _, value in points[series]) for series in kept}
    if call.func.name == "rate":
        return {series: _rate(points[series]) for series in kept if len(points[series]) > 1}
    raise NotImplementedError(call.func.name)


def _rate(points: list[tuple[float, float]]) -> float:
    """Without Prometheus' guess of what happened before the first scrape and after the last."""
    risen = sum(after - before if after >= before else after for (_, before), (_, after) in pairwise(points))
    return risen / (points[-1][0] - points[0][0])


_AGGREGATES: dict[str, Callable[[list[float]], float]] = {
    "sum": sum,
    "min": min,
    "max": max,
    "count": lambda values: float(len(values)),
}


def _aggregated(expr: AggregateExpr, inner: Vector | float) -> Vector:
    assert isinstance(inner, dict)
    assert expr.modifier is not None
    groups: dict[Series, list[float]] = {}
    for series, value in inner.items():
        groups.setdefault(_kept(series, expr.modifier.labels), []).append(value)
    return {series: _AGGREGATES[str(expr.op)](values) for series, values in groups.items()}


def _kept(series: Series, labels: Sequence[str]) -> Series:
    return frozenset((name, value) for name, value in series if name in labels)


_COMPARED: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


def _combined(expr: BinaryExpr, left: Vector | float, right: Vector | float) -> Vector:
    assert isinstance(left, dict)
    op = str(expr.op)
    if isinstance(right, float):
        return {series: value for series, value in left.items() if _COMPARED[op](value, right)}
    if op == "/":
        return {series: value / right[series] for series, value in left.items() if right.get(series)}
    on = expr.modifier.matching if expr.modifier else None

    def key(series: Series) -> Series:
        return _kept(series, on.labels) if on else series

    others = {key(series) for series in right}
    if op == "unless":
        return {series: value for series, value in left.items() if key(series) not in others}
    if op == "or":
        mine = {key(series) for series in left}
        return left | {series: value for series, value in right.items() if key(series) not in mine}
    raise NotImplementedError(op)
