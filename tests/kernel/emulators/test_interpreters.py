"""Programs that are installed outside the system run confined: in virtual environments, with libraries of their own."""

import shutil
import struct
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

import pytest

from children import output_of
from labplane import find_program
from labplane.emulators import elf
from labplane.emulators.confinement import Needs
from labplane.emulators.programs import closure, support


def said(directory: Path, command: Sequence[object]) -> str:
    """What a confined program prints."""
    directory.mkdir(exist_ok=True)
    return output_of([str(word) for word in command], directory, needs=Needs()).decode().strip()


@pytest.fixture(params=[True, False], ids=["links", "copies"])
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A virtual environment with a package in it."""
    home = tmp_path / "environment"
    venv.create(home, symlinks=request.param)
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "greeting.py").write_text("import json, socket, ssl\nwords = json.dumps('hello')\n")
    return home


GREET = "import sys, greeting; print(greeting.words, sys.prefix)"


def test_a_python_of_a_virtual_environment_has_its_packages_and_its_library(environment: Path, tmp_path: Path) -> None:
    python = environment / "bin" / "python"
    expected = f'"hello" {environment}'
    assert said(tmp_path / "vm", [python, "-c", GREET]) == expected
    assert said(tmp_path / "vm", [find_program(str(python), ""), "-c", GREET]) == expected


def test_so_has_a_script_whose_first_line_names_that_python(environment: Path, tmp_path: Path) -> None:
    script = environment / "bin" / "greet"
    script.write_text(f"#!{environment}/bin/python\n{GREET}\n")
    script.chmod(0o755)
    elsewhere = tmp_path / "scripts" / "greet"
    elsewhere.parent.mkdir()
    shutil.copy(script, elsewhere)
    link = tmp_path / "links" / "greet"
    link.parent.mkdir()
    link.symlink_to(script)
    for path in (script, elsewhere, link, find_program(str(link), "")):
        assert said(tmp_path / "vm", [path]) == f'"hello" {environment}', path


def test_so_has_a_script_that_finds_it_by_env(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{environment}/bin:/usr/bin:/bin")
    script = tmp_path / "greet"
    script.write_text(f"#!/usr/bin/env python\n{GREET}\n")
    script.chmod(0o755)
    assert said(tmp_path / "vm", [script]) == f'"hello" {environment}'


def test_a_program_of_a_virtual_environment_reads_no_other_one(environment: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("xyzzy")
    script = f"print(open({str(secret)!r}).read())"
    assert "Permission denied" in said(tmp_path / "vm", [environment / "bin" / "python", "-c", script])


@pytest.mark.parametrize("program", ["/bin/sh", "/usr/bin/../../bin/sh"])
def test_a_program_directly_below_the_root_does_not_read_all(program: str, tmp_path: Path) -> None:
    """Its home is not ``/``, though that is what is above ``/bin``."""
    secret = tmp_path / "secret"
    secret.write_text("xyzzy")
    assert "xyzzy" not in said(tmp_path / "vm", [program, "-c", f"read line < {secret}; echo $line"])


@pytest.mark.skipif(shutil.which("cc") is None, reason="this machine has no C compiler")
@pytest.mark.parametrize("path", ["$ORIGIN/../modules", "{}/modules"])
def test_a_program_has_its_libraries_and_theirs_wherever_it_looks_for_them(path: str, tmp_path: Path) -> None:
    """And nothing else in their directory."""
    own, modules = tmp_path / "program", tmp_path / "modules"
    own.mkdir()
    modules.mkdir()
    (modules / "secret").write_text("xyzzy")
    sources = {
        modules / "libdeep.so": 'const char *word(void) { return "deep"; }',
        modules / "libfirst.so": "const char *word(void); const char *first(void) { return word(); }",
        own / "program": "#include <stdio.h>\nconst char *first(void); int main(int n, char **arguments)"
        '{ puts(first()); puts(n > 1 && fopen(arguments[1], "r") ? "read" : "denied"); }',
    }
    flags = {"libfirst.so": ["-shared", "-L.", "-ldeep"], "libdeep.so": ["-shared"]}
    for target, source in sources.items():
        run_path = f"-Wl,-rpath,{path.format(tmp_path)}"
        more = flags.get(target.name, ["-lfirst", f"-L{modules}", f"-Wl,-rpath-link,{modules}"])
        subprocess.run(
            ["cc", "-fPIC", "-x", "c", "-", "-x", "none", "-o", target, run_path, *more],
            input=source,
            text=True,
            cwd=modules,
            check=True,
        )
    assert said(tmp_path / "vm", [own / "program", modules / "secret"]).split() == ["deep", "denied"]


def test_a_damaged_program_is_none_that_could_be_loaded(tmp_path: Path) -> None:
    whole = Path(sys.executable).resolve().read_bytes()[:4096]
    program = tmp_path / "program"
    for number, damaged in enumerate((whole[:5], whole[:40], whole[:100], whole[:54] + b"\xff" * 10 + whole[64:])):
        program.write_bytes(damaged)
        assert closure(program) == [program], number
        assert support([program]) == [tmp_path], number


@pytest.mark.parametrize("wide", [True, False], ids=["64 bit", "32 bit"])
@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
def test_libraries_are_read_in_every_sort_of_elf(wide: bool, order: str, tmp_path: Path) -> None:
    word = "Q" if wide else "I"
    size, table = (56, 64) if wide else (32, 52)
    texts = b"\0libone.so\0/opt/a:$ORIGIN/b:relative:${ORIGIN}/c\0libtwo.so\0"
    base = 0x10000
    at = table + 2 * size
    entries = [(elf.DT_NEEDED, texts.index(b"libone")), (elf.DT_NEEDED, texts.index(b"libtwo"))]
    entries += [(elf.DT_RUNPATH, texts.index(b"/opt")), (elf.DT_STRTAB, base + at)]
    dynamic = b"".join(struct.pack(order + 2 * word, *entry) for entry in entries)
    head = bytearray(table)
    head[:6] = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2])
    struct.pack_into(order + word, head, 32 if wide else 28, table)
    struct.pack_into(order + "HH", head, 54 if wide else 42, size, 2)
    headers = b""
    for kind, offset, length in ((elf.PT_LOAD, 0, 4096), (elf.PT_DYNAMIC, at + len(texts), len(dynamic))):
        header = bytearray(size)
        struct.pack_into(order + "I", header, 0, kind)
        struct.pack_into(order + 2 * word, header, 8 if wide else 4, offset, base + offset)
        struct.pack_into(order + word, header, 32 if wide else 16, length)
        headers += header
    program = tmp_path / "program"
    program.write_bytes(head + headers + texts + dynamic)
    assert elf.read(program) == elf.Elf(
        None, ("libone.so", "libtwo.so"), (Path("/opt/a"), tmp_path / "b", tmp_path / "c")
    )
    program.write_bytes(b"#!/bin/sh\n")
    assert elf.read(program) is None, "and is read again when it has changed"
