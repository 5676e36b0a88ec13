"""The commands `exec` and `test`."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labplane_client import Client, ClientError
from labplane_labs import ids
from labplane_labs.commands.common import (
    FAILED,
    TOO_LATE,
    At,
    common,
    complete_node,
    find_node,
    labs_of,
    read_lab,
    the_file,
)

if TYPE_CHECKING:
    from labplane_labs.labfile import Test


@click.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("node", shell_complete=complete_node)
@click.argument("line", nargs=-1, type=click.UNPROCESSED)
@click.option("--lab", help="The lab of the node, by name or file [default: lab.yaml, or any]")
@click.option("--expect", help="A regular expression that the output must have")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True, max=3600), default=30.0, help="[default: 30]")
@common
def exec_(at: At, node: str, line: Sequence[str], lab: str | None, expect: str | None, timeout: float) -> int:
    """Type LINE at the console of NODE, or LAB/NODE, and print what it answers: labplane exec pc1 -- show ip.

    Exit codes: 0 it answered, 1 it failed or lacks what was expected, 3 there was no answer in time.
    """
    pattern = _pattern(expect)
    with at.client() as client:
        answer = ask(client, find_node(client, node, lab), " ".join(line), timeout)
    found = pattern is None or pattern.search(answer["output"]) is not None
    at.show({**answer, "expected": found}, lambda: click.echo(answer["output"], nl=False))
    if answer["ended_by"] == "timeout":
        click.echo(f"{node} has not answered within {timeout:g} seconds.", err=True)
        return TOO_LATE
    if not found:
        click.echo(f"The output has no {expect!r}.", err=True)
    return 0 if found and answer["ended_by"] == "prompt" else FAILED


def ask(client: Client, vm: Any, line: str, timeout: float) -> dict[str, Any]:
    """What the node answers to that line, as the API has it."""
    return dict(client.answer(vm, line, timeout=timeout))


def _pattern(text: str | None) -> re.Pattern[str] | None:
    try:
        return None if text is None else re.compile(text, re.MULTILINE)
    except re.error as error:
        raise click.UsageError(f"--expect is no regular expression: {error}.") from None


@dataclass(frozen=True)
class Result:
    """What became of one test. failure: a sentence; None when it passed."""

    lab: str
    name: str
    node: str
    seconds: float
    output: str
    failure: str | None


@click.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False))
@click.option("--junit", type=click.Path(dir_okay=False), help="Write the results into this file, as JUnit has them")
@click.option("-k", "only", help="Only tests whose name has this text")
@common
def test(at: At, file: str | None, junit: str | None, only: str | None) -> int:
    """Run the tests in FILE at the lab, which is up, and at each of its copies.

    FILE is lab.yaml unless given. Exit codes: 0 all passed, 1 one failed, 2 the file is bad.
    """
    lab, _ = read_lab(at, the_file(file))
    wanted = [one for one in lab.tests if only is None or only in one.name]
    with at.client() as client:
        names = [project.name or "" for project in labs_of(client, lab.name)]
        if not names:
            raise ClientError(None, f"{lab.name} is not up; `labplane up` brings it up.")
        results = [run_test(client, name, one, lab.nodes[one.node].kind) for name in names for one in wanted]
    if junit is not None:
        Path(junit).write_bytes(as_junit(lab.name, results))
    at.show([asdict(result) for result in results], lambda: _tell(results))
    return FAILED if any(result.failure for result in results) else 0


def run_test(client: Client, lab: str, test: "Test", kind: str) -> Result:
    """Run one test at a lab that is up."""
    begun = time.monotonic()
    output, failure = "", None
    for attempt in range(test.attempts):
        if attempt:
            time.sleep(1)  # the network may need time to settle, which nothing tells
        try:
            vm = client.vm(ids.project_id(lab), kind, ids.vm_id(lab, test.node))
            answer = client.answer(vm, test.run, timeout=test.timeout)
        except ClientError as error:
            failure = error.message
            continue
        output, failure = str(answer["output"]), _judge(test, answer)
        if failure is None:
            break
    return Result(lab, test.name, test.node, time.monotonic() - begun, output, failure)


def _judge(test: "Test", answer: Mapping[str, Any]) -> str | None:
    """Why the test failed with that answer; None when it passed."""
    output = answer["output"]
    if test.expect is not None and not re.search(test.expect, output, re.MULTILINE):
        return f"The output has no {test.expect!r}."
    if test.reject is not None and (found := re.search(test.reject, output, re.MULTILINE)):
        return f"The output has {found[0]!r}."
    if answer["ended_by"] != "prompt":
        return f"{test.node} did not come back to its prompt: {answer['ended_by']}."
    return None


def as_junit(suite: str, results: Sequence[Result]) -> bytes:
    """The results as JUnit's XML."""
    from xml.etree.ElementTree import Element, SubElement, tostring

    failed = sum(result.failure is not None for result in results)
    seconds = f"{sum(result.seconds for result in results):.3f}"
    root = Element("testsuites")
    top = SubElement(
        root, "testsuite", name=suite, tests=str(len(results)), failures=str(failed), errors="0", time=seconds
    )
    for result in results:
        case = SubElement(top, "testcase", classname=result.lab, name=result.name, time=f"{result.seconds:.3f}")
        if result.failure is not None:
            SubElement(case, "failure", message=_clean(result.failure)).text = _clean(result.output)
        SubElement(case, "system-out").text = _clean(result.output)
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True))


def _clean(text: str) -> str:
    """Without what XML cannot have."""
    return re.sub("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def _tell(results: Sequence[Result]) -> None:
    for result in results:
        mark = "ok    " if result.failure is None else "FAILED"
        click.echo(f"{mark} {result.lab}: {result.name} ({result.seconds:.1f} s)")
        if result.failure is not None:
            for line in (result.failure, *result.output.splitlines()):
                click.echo(f"       {line}")
    passed = sum(result.failure is None for result in results)
    click.echo(f"{passed} of {len(results)} passed")
