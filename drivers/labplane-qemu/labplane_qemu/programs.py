"""The programs of QEMU on this server: which there are, of which version, and whether they can use KVM."""

import asyncio
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath

from labplane import Conflict, Lab, LabError, Needs, Unavailable, find_program, run_tool
from labplane_qemu.settings import PROGRAM

ADVICE = "On Debian and Ubuntu: apt-get install qemu-system-x86 (qemu-system-arm and so on for other platforms)."
IMG_ADVICE = "On Debian and Ubuntu: apt-get install qemu-utils."
OLDEST = (7, 2)
KVM = Path("/dev/kvm")
SAME = {"x86_64": ("x86_64", "i386"), "i686": ("i386",), "aarch64": ("aarch64",)}
TRIAL_SECONDS = 20.0
# A boot sector that has the keyboard controller reset the machine: mov al, 0xfe; out 0x64, al; hlt; jmp to the hlt.
RESETS = bytes.fromhex("b0fee664f4ebfd")


class Programs:
    """What is known of the programs of QEMU, which are looked at once."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._versions: dict[tuple[Path, int], str] = {}
        self._trials: dict[Path, asyncio.Task[str]] = {}

    def find(self, qemu_path: str) -> Path:
        """The program of that name on the PATH. Raises Unavailable."""
        return find_program(PurePath(qemu_path).name, ADVICE)

    def img(self) -> Path:
        """The program qemu-img. Raises Unavailable."""
        return find_program("qemu-img", IMG_ADVICE)

    def installed(self) -> list[Path]:
        """Every program on the PATH that is a QEMU, by its name there."""
        return list(_on_the_path(PROGRAM))

    def imgs(self) -> list[Path]:
        """Every qemu-img on the PATH."""
        return list(_on_the_path(re.compile("qemu-img")))

    async def version(self, program: Path) -> str:
        """The version that `program` says it is; "" when it says none. Raises LabError."""
        key = program, (await asyncio.to_thread(program.stat)).st_mtime_ns
        if key not in self._versions:
            text = await self._run([str(program), "--version"])
            found = re.search(r"version ([0-9][0-9a-z.-]*)", text)
            self._versions[key] = found[1] if found else ""
        return self._versions[key]

    async def check(self, program: Path) -> None:
        """Raise Unavailable when `program` is too old for links that change while a machine runs."""
        version = await self.version(program)
        numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
        if numbers < OLDEST:
            raise Unavailable(
                f"{program} is QEMU {version or 'of an unknown version'}; labplane needs {OLDEST[0]}.{OLDEST[1]} or "
                "later, as in Debian 12."
            )

    async def accelerator(self, program: Path, emulated: str, wanted: str) -> str:
        """The accelerator of a machine of the platform `emulated`: "kvm", or "tcg", which works everywhere.

        wanted: "auto", "off" or "require". Raises Unavailable when KVM is required and does not work.
        """
        if wanted == "off":
            return "tcg"
        fault = await self.kvm_fault(program, emulated)
        if not fault:
            return "kvm"
        if wanted == "require":
            raise Unavailable(f"{fault} The setting kvm of the plugin qemu requires it; set it to auto.")
        return "tcg"

    async def kvm_fault(self, program: Path, emulated: str) -> str:
        """Why `program` cannot use KVM, as a sentence; "" when it can. It is tried once, with a tiny guest."""
        if emulated not in SAME.get(platform.machine(), ()):
            return f"KVM of this {platform.machine()} machine runs no {emulated}."
        if not os.access(KVM, os.R_OK | os.W_OK):
            return f"The server may not use {KVM}, or there is none."
        if program not in self._trials:
            self._trials[program] = self._lab.background(self._try_kvm(program, emulated))
        return await asyncio.shield(self._trials[program])

    async def _try_kvm(self, program: Path, emulated: str) -> str:
        """That `/dev/kvm` is there says little: there are some under which guests hang, or crawl.

        So a guest that lets its firmware boot and then resets itself is to be no slower than without KVM.
        """
        if emulated not in ("x86_64", "i386"):
            return ""  # there is no firmware that would start a guest of ours
        disk = bytearray(64 * 512)
        disk[: len(RESETS)], disk[510:512] = RESETS, b"\x55\xaa"
        words = "-M pc -nodefaults -no-user-config -display none -m 16 -no-reboot -drive file=disk,format=raw,if=ide"
        began = time.monotonic()
        try:
            await self._run([str(program), "-accel", "tcg", *words.split()], None, TRIAL_SECONDS, disk=bytes(disk))
            most = 2 * (time.monotonic() - began) + 0.5
            await self._run(
                [str(program), "-accel", "kvm", *words.split()], Needs(writes=(KVM,)), most, disk=bytes(disk)
            )
        except LabError as error:
            return f"KVM does not work here: a guest that only resets itself failed, or was too slow. {error}"
        return ""

    async def _run(
        self, command: Sequence[str], needs: Needs | None = None, seconds: float = 20.0, **files: bytes
    ) -> str:
        """What `command` prints, run in a directory of its own with these files. Raises Unavailable."""
        folder = await asyncio.to_thread(_folder, files)
        try:
            return await run_tool(self._lab, command, folder, needs or Needs(), seconds)
        except Conflict as error:
            raise Unavailable(str(error)) from None
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _folder(files: Mapping[str, bytes]) -> Path:
    """A directory with these files, for programs that may have a user of their own."""
    folder = Path(tempfile.mkdtemp(prefix="labplane-qemu-"))
    folder.chmod(0o777)
    for name, content in files.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o666)
    return folder


def _on_the_path(name: re.Pattern[str]) -> Iterator[Path]:
    seen = set()
    for folder in os.get_exec_path():
        if not folder.startswith("/"):
            continue
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        for one in names:
            path = Path(folder, one)
            if one not in seen and name.fullmatch(one) and path.is_file() and os.access(path, os.X_OK):
                seen.add(one)
                yield path
