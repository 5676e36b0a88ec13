"""The table of a lab's routes: it checks new ones, finds them by path, and gives them to Starlette."""

from collections.abc import Coroutine, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from starlette.routing import BaseRoute, Match, Route as StarletteRoute, compile_path
from starlette.types import Receive, Scope, Send

from labplane.api.requests import CompiledRoute, Directory, Resource
from labplane.api.route import METHODS, PARAMETER, Route
from labplane.errors import NotFound
from labplane.validation.schemas import Schemas

ALIKE = 0.8


class _PathRoute(StarletteRoute):
    def __init__(self, path: str, resource: Resource) -> None:
        super().__init__(path, resource)
        self.slashes = None if ":path}" in path else path.count("/")

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        try:
            return super().matches(scope)
        except ValueError:  # a number of thousands of digits
            return Match.NONE, {}


class _Paths(BaseRoute):
    """Many paths as one route: a request is looked up by its path, or compared with those that have as many steps.

    resources: in the order in which they are to be tried.
    """

    def __init__(self, resources: Sequence[Resource]) -> None:
        self._plain = {resource.path: resource for resource in resources if "{" not in resource.path}
        others = [_PathRoute(resource.path, resource) for resource in resources if resource.path not in self._plain]
        self._of_length = {
            length: [route for route in others if route.slashes in (None, length)]
            for length in {route.slashes for route in others}
        }
        self._of_any_length = self._of_length.get(None, [])

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "http":
            path = scope["path"]
            if (resource := self._plain.get(path)) is not None:
                return Match.FULL, {"endpoint": resource, "path_params": {}}
            for route in self._of_length.get(path.count("/"), self._of_any_length):
                match, found = route.matches(scope)
                if match is Match.FULL:
                    return match, found
        return Match.NONE, {}

    def handle(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        resource: Resource = scope["endpoint"]
        return resource(scope, receive, send)


class RouteError(ValueError):
    """A route is refused; the text says why."""


class RouteTable:
    """Every route of the lab, in the order of registration."""

    def __init__(self, lab: Directory) -> None:
        self._lab = lab
        self._resources: dict[str, Resource] = {}
        self._by_plain_path: dict[str, Resource] = {}  # without the types of parameters

    @property
    def routes(self) -> list[Route]:
        return [compiled.route for resource in self._resources.values() for compiled in resource.methods.values()]

    def compile(self, routes: Iterable[Route], schemas: Schemas) -> list[CompiledRoute]:
        """Check `routes` against the table and each other; changes nothing. Raises RouteError or SchemaError."""
        taken = {route.key: route for route in self.routes}
        paths = {path: resource.path for path, resource in self._resources.items()}
        compiled = []
        for route in routes:
            _check(route)
            other = taken.get(route.key)
            if other is not None and route.yields:
                continue
            if other is not None and not other.yields:
                raise RouteError(f"the route {route.method} {route.path} is taken by {other.method} {other.path}")
            path = paths.setdefault(route.key[1], route.path)
            if path != route.path:
                raise RouteError(f"the route {route.method} {route.path} must name its parameters as in {path}")
            taken[route.key] = route
            where = f"{route.method} {route.path}"
            if route.reply is not None:
                schemas.compile(route.reply, f"reply of {where}")
            rule = None if route.body is None else schemas.compile(route.body, f"body of {where}")
            compiled.append(CompiledRoute(route, rule))
        return compiled

    def add(self, compiled: Iterable[CompiledRoute]) -> None:
        """Add routes that `compile` has checked."""
        for one in compiled:
            path = one.route.key[1]
            resource = self._resources.setdefault(path, Resource(one.route.path, self._lab))
            self._by_plain_path.setdefault(_shape(one.route.path), resource)
            resource.methods[one.route.method] = one

    async def ask(self, method: str, path: str, value: Any, parameters: Mapping[str, Any]) -> Any:
        """The result of the route of that method and path. Raises NotFound when there is none."""
        resource = self._resources.get(PARAMETER.sub(r"{\2}", path)) or self._by_plain_path.get(_shape(path))
        if resource is None:
            raise NotFound(f"There is no route {path}.{self.nearest(path)}")
        return await resource.ask(method, value, dict(parameters))

    def nearest(self, path: str) -> str:
        """A sentence, after a space, that names the offered path that is nearest to an unknown one; "" for none."""
        steps = path.split("/")
        filled = {}  # each offered path of as many steps, with those of `path` in place of its parameters
        for resource in self._resources.values():
            words = PARAMETER.sub(r"{\1}", resource.path).split("/")
            if len(words) == len(steps) and any(one.route.offered for one in resource.methods.values()):
                pairs = zip(words, steps, strict=True)
                filled["/".join(step if word[:1] == "{" else word for word, step in pairs)] = "/".join(words)
        found = get_close_matches(path, filled, 1, ALIKE)
        return f" The nearest one is {filled[found[0]]}." if found else ""

    def starlette_routes(self) -> list[BaseRoute]:
        """The routes for Starlette, which takes the first that fits: words come before parameters."""
        resources = sorted(self._resources.values(), key=lambda resource: _specificity(resource.path))
        return [_Paths(resources)]


def _shape(path: str) -> str:
    """The path without names and types of parameters."""
    return PARAMETER.sub("{}", path)


def _specificity(path: str) -> list[int]:
    """For each step of the path: 0 for a word, 1 for a parameter, 2 for one that takes several steps."""
    return [2 if ":path}" in step else 1 if "{" in step else 0 for step in path.split("/")]


def _check(route: object) -> None:
    if not isinstance(route, Route):
        raise RouteError(f"routes() must give labplane.Route objects, not {type(route).__name__}")
    if route.method not in METHODS:
        raise RouteError(f"{route.path}: the method {route.method!r} is none of {', '.join(METHODS)}")
    if not route.path.startswith("/") or (route.path != "/" and route.path.endswith("/")):
        raise RouteError(f"the path {route.path!r} must begin with / and not end with it")
    try:
        compile_path(route.path)
    except (AssertionError, ValueError) as error:
        raise RouteError(f"the path {route.path!r} cannot be used: {error}") from None
    if not all(isinstance(status, int) and 400 <= status <= 599 for status in route.refusals):
        raise RouteError(f"{route.method} {route.path}: its refusals must be HTTP statuses from 400 to 599")
    if not callable(route.endpoint):
        raise RouteError(f"{route.method} {route.path}: its endpoint must be a function")
    if route.streams and (route.body is not None or "{vm_id}" in route.path):
        raise RouteError(f"{route.method} {route.path}: a route that streams has no body schema and names no VM")
