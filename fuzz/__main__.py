"""Give a target bytes that lead it where it has not been: ``python -m fuzz TARGET --seconds N``.

Atheris must be installed, and tests/helpers be on the path; ``./run fuzz`` sees to both. The exit status is not zero
when the target fails; what it was given is then in a file that is named, and ``python -m fuzz TARGET FILE`` gives it
that again.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["json", "zipfile", "labplane", "labplane_files", "telnetlib3"]):
    from targets import SEEDS, TARGETS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("files", nargs="*", type=Path, help="what to give it instead of going on a search")
    parser.add_argument("--seconds", type=int, default=60, help="how long to search (60)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(SEEDS[chosen.target]):
            (Path(corpus) / str(number)).write_bytes(seed)
        search = [corpus, f"-max_total_time={chosen.seconds}", "-max_len=4096", "-timeout=20"]
        more = [str(file) for file in chosen.files] or [*search, "-print_final_stats=1"]
        atheris.Setup([sys.argv[0], "-verbosity=0", *more], TARGETS[chosen.target])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
