"""What it costs to keep strangers out: GET /v1/version beside a labplane without guards."""

from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from bench.effort import Effort
from bench.measure_requests import load
from bench.servers import labplane, on_one_processor, unguarded
from bench.table import Row

SLICES = 8  # of a round, so that whatever else the machine does is shared out among the servers
GOAL = "at least 0.95 of the unguarded one's"


async def guards(effort: Effort) -> list[Row]:
    """With the defaults, and with the token besides."""
    with TemporaryDirectory(prefix="labplane-bench-") as directory:
        token = Path(directory) / "token"
        token.write_text("t" * 43)
        token.chmod(0o600)
        header = f"Authorization: Bearer {'t' * 43}\r\n"
        with (
            unguarded() as bare,
            labplane() as guarded,
            labplane("--auth", "token", "--token-file", str(token)) as locked,
            on_one_processor(bare, guarded, locked),
        ):
            servers = (bare, guarded, locked)
            for server in servers:
                await load(server, effort.load_seconds / 2, header)
            figures: list[list[float]] = [[], [], []]
            seconds = effort.load_seconds / SLICES
            for _ in range(effort.rounds):
                slices = [[await load(server, seconds, header) for server in servers] for _ in range(SLICES)]
                for found, rates in zip(figures, zip(*slices, strict=True), strict=True):
                    found.append(fmean(rates))
    return [
        Row("GET version with guards", "requests/s", figures[1], figures[0], GOAL, 0.95, least=True),
        Row("GET version with guards and token", "requests/s", figures[2], figures[0], GOAL, 0.95, least=True),
    ]
