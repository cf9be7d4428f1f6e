"""Prometheus' text of what a process counted, and of the memory and time that it takes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from isthmus import __version__
from isthmus.kit.metrics import COUNTER, GAUGE, HISTOGRAM, Durations, Labels, Meters, Metric, Value

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


BUILD: Final = Metric("isthmus_build_info", GAUGE, "Always 1; the label says which release runs.", ("version",))


class _Totals(Collector):
    def __init__(self, meters: Meters) -> None:
        self._meters = meters

    def collect(self) -> Iterable[Family]:
        yield self._family(BUILD, {(__version__,): 1})
        for metric, values in self._meters.totals().items():
            yield self._family(metric, values)

    def _family(self, metric: Metric, values: Mapping[Labels, Value]) -> Family:
        names, own = tuple(self._meters.labels), tuple(self._meters.labels.values())
        labelled = replace(metric, labels=(*names, *metric.labels))
        return _FAMILIES[metric.kind](labelled, {(*own, *labels): value for labels, value in values.items()})


def text(meters: Meters) -> bytes:
    """All metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(_Totals(meters))
    return generate_latest(registry)


def _counter(metric: Metric, values: Mapping[Labels, Value]) -> Family:
    family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in values.items():
        family.add_metric(labels, _number(value))
    return family


def _gauge(metric: Metric, values: Mapping[Labels, Value]) -> Family:
    family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in values.items():
        family.add_metric(labels, _number(value))
    return family


def _histogram(metric: Metric, values: Mapping[Labels, Value]) -> Family:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in values.items():
        if isinstance(value, Durations):
            family.add_metric(labels, buckets=list(value.buckets()), sum_value=value.total)
    return family


def _number(value: Value) -> float:
    return value.total if isinstance(value, Durations) else value


_FAMILIES: Final[dict[str, Callable[[Metric, Mapping[Labels, Value]], Family]]] = {
    COUNTER: _counter,
    GAUGE: _gauge,
    HISTOGRAM: _histogram,
}
