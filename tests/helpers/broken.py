"""The distribution labplane-broken: its entry points, and what the report of each must say."""

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "thirdparty" / "labplane-broken"
VERSION = "6.6.6"

CONFIG = """
disabled = ["disabled"]

[plugins.bad-config]
colour = "green"
"""

CAUSES = {
    "missing-import": "No module named 'a_module_that_nobody_has'",
    "exits": "SystemExit: this machine is not supported",
    "no-module": "No module named 'labplane_broken.no_such_module'",
    "no-attribute": "has no attribute 'NoSuchThing'",
    "not-a-plugin": "NotAPlugin is not a subclass of labplane.Plugin",
    "an-instance": "an object of type Trace is not a subclass of labplane.Plugin",
    "misspelt-hook": "there is no hook 'route'; did you mean routes?",
    "unknown-hook": "there is no hook 'brew_coffee'; the hooks are schemas, routes, drivers, ",
    "unmarked-hook": "routes() is not marked with @labplane.hook",
    "wrong-argument": "application",
    "async-hook": "the hook routes is async",
    "raising-hook": "ZeroDivisionError: in a hook",
    "raising-generator": "ZeroDivisionError: in a generator",
    "constructor": "OSError: in a constructor",
    "constructor-signature": "TypeError: ",
    "invalid-schema": "TraceInvalid: not a valid JSON Schema at type: 'strange'",
    "invalid-pattern": "TracePattern: not a valid JSON Schema at pattern",
    "schema-no-json": "TraceNoJSON: ",
    "schema-taken": "the schema name 'Project' is taken",
    "unresolvable": "body of POST /v1/trace: $ref 'labplane:Nowhere' leads nowhere",
    "remote-reference": "$ref 'http://127.0.0.1:9/a.json' leads nowhere",
    "invalid-setting": "the setting colour: not a valid JSON Schema",
    "bad-config": "'colour' must be one of 'red', 'blue'",
    "kind-taken": "the kind 'vpcs' is taken by labplane_vpcs",
    "kind-twice": "the kind 'trace' is taken by labplane_broken",
    "bad-kind": "FineDriver.kind must be a lower-case word for the URL, not 'No/Word'",
    "abstract-driver": "TypeError: Can't instantiate abstract class Half",
    "reserved-property": "the trace properties may not have 'console': it is the kernel's own",
    "missing-property": "trace requires ['memory'], which are none of its properties",
    "sync-driver": "trace: reload must be an async method",
    "route-taken": "the route GET /v1/projects/{other_name} is taken by GET /v1/projects/{project_id}",
    "route-twice": "the route GET /v1/trace is taken by GET /v1/trace",
    "other-parameter": "PATCH /v1/projects/{other_name} must name its parameters as in /v1/projects/{project_id}",
    "own-other-parameter": "PUT /v1/trace/{another} must name its parameters as in /v1/trace/{one}",
    "bad-method": "the method 'BREW' is none of GET, POST, PUT, PATCH, DELETE",
    "relative-path": "the path 'v1/trace' must begin with /",
    "unknown-convertor": "/v1/trace/{number:roman}",
    "repeated-parameter": "/v1/trace/{one}/{one}",
    "no-endpoint": "GET /v1/trace: its endpoint must be a function",
    "routes-none": "routes() must give an iterable, not None",
    "routes-text": "routes() must give an iterable, not str",
    "routes-garbage": "routes() must give labplane.Route objects, not tuple",
    "schemas-list": "schemas() must give a mapping, not list",
    "drivers-class": "drivers() must give labplane.Driver objects, not <class",
    "vpcs": "the name 'vpcs' is taken by labplane 1.",
}


def entry_points() -> list[EntryPoint]:
    """All that labplane-broken offers, from its pyproject.toml."""
    groups = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]["entry-points"]
    return [EntryPoint(name, value, group) for group, points in groups.items() for name, value in points.items()]
