"""How much is measured: enough for the results that are kept, or a quick look."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """rounds: of everything, labplane and floor alternating; the other numbers are per round."""

    rounds: int
    load_seconds: float
    vms: int
    udp_ports: int
    many: int
    pairs: int
    starts: int
    storm: int
    running: int
    running_on: int
    idle_seconds: float


FULL = Effort(
    rounds=5,
    load_seconds=2.0,
    vms=1000,
    udp_ports=5000,
    many=10_000,
    pairs=100,
    starts=15,
    storm=100,
    running=10,
    running_on=100,
    idle_seconds=6.0,
)
QUICK = Effort(
    rounds=2,
    load_seconds=0.5,
    vms=200,
    udp_ports=1000,
    many=1000,
    pairs=20,
    starts=5,
    storm=20,
    running=5,
    running_on=40,
    idle_seconds=5.0,
)
