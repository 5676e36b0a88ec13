"""A lab's figures as families of Prometheus samples, and their text."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from math import inf

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from labplane import Lab

HELP = {
    "request": "HTTP requests that were answered, and how long that took; status 0: the client hung up before",
    "commit": "Writes of what must not be forgotten, and how long each took",
    "vm_operation": "What was done to VMs, and how long it took",
}


class Given(Collector):
    """A collector of families that are made already."""

    def __init__(self, made: Iterable[Metric]) -> None:
        self._made = made

    def collect(self) -> Iterable[Metric]:
        return self._made


def exposition(made: Iterable[Metric], accept: str) -> tuple[bytes, str]:
    """These families, and those of this process, in the form that the header `accept` asks for; its media type.

    The registry is made anew each time: the library's own is shared by the whole process.
    """
    registry = CollectorRegistry()
    registry.register(Given(made))
    ProcessCollector(registry=registry)
    encode, media = choose_encoder(accept)
    return encode(registry), media


def families(lab: Lab, version: str, faults: Mapping[str, int], projects: int) -> list[Metric]:
    """The families of `lab` as it is now.

    faults:   of each plugin, by its name.
    projects: how many are open.
    """
    return [
        InfoMetricFamily("labplane", "The version of the server", {"version": version}),
        GaugeMetricFamily("labplane_projects", "Projects that are open", projects),
        _vms(lab),
        *_ports(lab),
        _faults(faults),
        *_measures(lab),
    ]


def beside(found: Mapping[str, Mapping[str, float]]) -> list[Metric]:
    """The families of the processes in which VMs run beside the server.

    found: of each that is there, by its name, `runs`, `rss` in bytes and `cpu` in seconds.
    """
    labels = ["process"]
    running = GaugeMetricFamily("labplane_beside_vms", "VMs that run in a process beside the server", labels=labels)
    memory = GaugeMetricFamily(
        "labplane_beside_resident_memory_bytes", "Resident memory of that process", labels=labels
    )
    time = CounterMetricFamily("labplane_beside_cpu_seconds", "Processor time that it has taken", labels=labels)
    for name, figures in found.items():
        running.add_metric([name], figures["runs"])
        memory.add_metric([name], figures["rss"])
        time.add_metric([name], figures["cpu"])
    return [running, memory, time]


def _vms(lab: Lab) -> Metric:
    """All that there can be, since a series that comes and goes cannot be summed over time."""
    counts: Counter[tuple[str, str]] = Counter()
    for kind in lab.drivers:
        for status in ("stopped", "started", *(["suspended"] if hasattr(lab.drivers[kind], "suspend") else [])):
            counts[kind, status] = 0
    counts.update((vm.driver.kind, vm.status) for vm in lab.vms if vm.listed)
    family = GaugeMetricFamily("labplane_vms", "VMs of open projects", labels=["kind", "status"])
    for (kind, status), count in counts.items():
        family.add_metric([kind, status], count)
    return family


def _ports(lab: Lab) -> Iterator[Metric]:
    leased = GaugeMetricFamily("labplane_ports_leased", "Ports that are leased", labels=["pool"])
    size = GaugeMetricFamily("labplane_ports", "Ports of the range in the settings", labels=["pool"])
    for name, pool in (("console", lab.consoles), ("udp", lab.udp)):
        leased.add_metric([name], len(pool))
        size.add_metric([name], pool.last - pool.first + 1)
    yield leased
    yield size


def _faults(faults: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily("labplane_plugin_faults", "Faults that were put down to a plugin", labels=["plugin"])
    for plugin, count in faults.items():
        family.add_metric([plugin], count)
    return family


def _measures(lab: Lab) -> Iterable[Metric]:
    """A histogram for each thing that the lab measures."""
    made: dict[str, HistogramMetricFamily] = {}
    for one in lab.measures:
        family = made.get(one.what)
        if family is None:
            meaning = HELP.get(one.what, f"How often there was a {one.what}, and how long it took")
            family = made[one.what] = HistogramMetricFamily(
                f"labplane_{one.what}_seconds", meaning, labels=list(one.labels)
            )
        buckets = [(_shown(bound), count) for bound, count in one.buckets]
        family.add_metric(list(one.labels.values()), buckets, one.seconds)
    return made.values()


def _shown(bound: float) -> str:
    return "+Inf" if bound == inf else str(bound)
