"""What labplane costs over a floor that is measured in the same run: ``python -m bench [--quick] [NAME…]``.

Asserts nothing: the exit code is 0 whenever everything could be measured.
"""

import argparse
import asyncio
import os
import platform
import sys
from collections.abc import Callable, Coroutine, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import uvloop

from bench import effort, raw
from bench.client import BenchError
from bench.effort import Effort
from bench.measure_engine import engine
from bench.measure_growth import growth
from bench.measure_guards import guards
from bench.measure_idle import idle
from bench.measure_labs import labs
from bench.measure_requests import create, link, udp, version as version_load
from bench.measure_restart import restart
from bench.measure_state import state
from bench.measure_switch import switch
from bench.measure_vms import rest, start, storm
from bench.measure_web import web
from bench.table import Row, markdown

RESULTS = Path(__file__).parent / "results" / "labplane.md"

MEASUREMENTS: Mapping[str, Callable[[Effort], Coroutine[Any, Any, list[Row]]]] = {
    "version": version_load,
    "create": create,
    "udp": udp,
    "link": link,
    "growth": growth,
    "start": start,
    "storm": storm,
    "rest": rest,
    "restart": restart,
    "switch": switch,
    "engine": engine,
    "guards": guards,
    "state": state,
    "idle": idle,
    "web": web,
    "labs": labs,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(MEASUREMENTS)} [default: all]")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, for a first look")
    parser.add_argument("--save", action="store_true", help=f"keep the table in {RESULTS.parent.name}/{RESULTS.name}")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(MEASUREMENTS)):
        parser.error(f"there is no measurement {unknown[0]!r}; there are {', '.join(MEASUREMENTS)}")
    amount = effort.QUICK if options.quick else effort.FULL
    rows: list[Row] = []
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            for name in options.names or MEASUREMENTS:
                print(f"measuring {name} …", file=sys.stderr, flush=True)
                rows += runner.run(MEASUREMENTS[name](amount))
        text = f"# labplane beside its floor\n\n{_circumstances(amount)}\n\n{markdown(rows)}\n"
    except (BenchError, OSError) as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 1
    print(text, end="")
    if options.save:
        RESULTS.write_text(text)
    return 0


def _circumstances(amount: Effort) -> str:
    libraries = ", ".join(f"{name} {version(name)}" for name in ("starlette", "uvicorn", "uvloop", "httptools"))
    return (
        f"Medians of {amount.rounds} rounds, labplane and floor alternating; {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, {libraries}, VPCS {raw.vpcs_version()}."
    )


if __name__ == "__main__":
    sys.exit(main())
