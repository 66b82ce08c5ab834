"""The text of metrics, as Prometheus' own parser reads it."""

from prometheus_client.parser import text_string_to_metric_families

from kubeherd.cluster.runtime.metrics import Family, Histogram, Kind, exposition

NASTY = 'a "quoted"\\ text\nof two lines'


def read(*families: Family) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    text = exposition(families).decode()
    found: dict = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def test_counters_and_gauges_with_any_labels():
    counter = Family("x_total", Kind.COUNTER, NASTY, ("verb", "code"), [(("GET", NASTY), 1234567)])
    gauge = Family("y", Kind.GAUGE, "y", (), [((), 0.25)])
    found = read(counter, gauge)
    assert found["x_total"] == {(("code", NASTY), ("verb", "GET")): 1234567.0}
    assert found["y"] == {(): 0.25}


def test_a_histogram_has_cumulated_buckets_a_count_and_a_sum():
    took = Histogram((0.1, 1.0))
    for value in (0.05, 0.5, 0.5, 7.0):
        took.observe(value)
    found = read(Family("t_seconds", Kind.HISTOGRAM, "t", ("verb", "a"), [(("GET", "x"), took)]))
    verb, a = ("verb", "GET"), ("a", "x")
    assert found["t_seconds_bucket"] == {
        (a, ("le", "0.1"), verb): 1,
        (a, ("le", "1"), verb): 3,
        (a, ("le", "+Inf"), verb): 4,
    }
    assert found["t_seconds_count"] == {(a, verb): 4}
    assert found["t_seconds_sum"] == {(a, verb): 8.05}


def test_what_the_system_tells_of_the_process_and_the_version_are_there():
    found = read()
    assert found["process_resident_memory_bytes"][()] > 0
    assert list(found["kubernetes_build_info"].values()) == [1]
