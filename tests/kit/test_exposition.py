"""Prometheus' own parser reads what we write."""

from prometheus_client.parser import text_string_to_metric_families

from isthmus import __version__
from isthmus.kit.exposition import text
from isthmus.kit.metrics import GAUGE, Meters, Metric, Sample, metered
from tests.kit.test_metrics import Part


def test_every_kind_of_metric_is_read_back() -> None:
    meters = Meters()
    with meters.gathering():
        part = Part(2, 0.002, 3.0)
    families = {family.name: family for family in text_string_to_metric_families(text(meters).decode())}
    assert part.done == 2
    assert families["test_done"].type == "counter"
    assert [(s.name, s.labels, s.value) for s in families["test_done"].samples] == [
        ("test_done_total", {"kind": "shop"}, 2.0)
    ]
    assert families["test_waiting"].documentation == "Things that wait."
    seconds = {(s.name, s.labels.get("le")): s.value for s in families["test_seconds"].samples}
    assert seconds["test_seconds_bucket", "0.005"] == 1
    assert seconds["test_seconds_bucket", "+Inf"] == seconds["test_seconds_count", None] == 2
    assert families["isthmus_build_info"].samples[0].labels == {"version": __version__}


def test_all_of_ours_bears_the_labels_of_the_process() -> None:
    meters = Meters({"set": "prod", "member": "east"})
    with meters.gathering():
        part = Part(2, 0.002)
    families = [each for each in text_string_to_metric_families(text(meters).decode()) if each.name != "python_info"]
    samples = [sample for each in families if not each.name.startswith("process_") for sample in each.samples]
    assert {sample.name for sample in samples} >= {"isthmus_build_info", "test_done_total", "test_seconds_bucket"}
    assert all(sample.labels.items() >= {"set": "prod", "member": "east"}.items() for sample in samples)
    assert part.done == 2


def test_memory_and_processor_are_told() -> None:
    said = text(Meters()).decode()
    assert "process_resident_memory_bytes " in said
    assert "process_cpu_seconds_total " in said


def test_what_labels_hold_cannot_forge_a_line() -> None:
    class Forger:
        def samples(self) -> list[Sample]:
            return [Sample(Metric("test_a", GAUGE, "A.", ("l",)), 1, ('x"} 9\ntest_b 2',))]

    meters = Meters()
    with meters.gathering():
        forger = Forger()
        metered(forger)
    families = [family.name for family in text_string_to_metric_families(text(meters).decode())]
    assert "test_a" in families
    assert "test_b" not in families
