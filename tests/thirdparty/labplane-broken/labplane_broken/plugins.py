"""Plugins that can be imported and are broken otherwise.

Each also brings what would be fine, the schema ``Trace…`` or the route ``/v1/trace…``, to see that nothing of it stays.
"""

from labplane import Driver, NotFound, Plugin, Route, hook

SCHEMA = {"type": "object"}


async def endpoint(request):
    return {"trace": True}


class FineDriver(Driver):
    kind = "trace"

    async def start(self, vm):
        pass

    async def stop(self, vm):
        pass


class Trace(Plugin):
    """Brings something good of each sort, and leaves word with the lab, before what is broken is looked at."""

    def __init__(self, lab, config):
        super().__init__(lab, config)
        lab.at_start(self.must_not_run)
        lab.at_end(self.must_not_run)

    async def must_not_run(self):
        raise AssertionError("a plugin that was left out was called")

    @hook
    def schemas(self):
        return {"Trace": SCHEMA}

    @hook
    def drivers(self):
        return [FineDriver(self.lab)]

    @hook
    def routes(self):
        return [Route("GET", "/v1/trace", endpoint)]

    @hook
    def project_dir(self, project_id):
        raise NotFound("a plugin that was left out was asked")


class NotAPlugin:
    @hook
    def routes(self):
        return [Route("GET", "/v1/trace", endpoint)]


AN_INSTANCE = Trace.__new__(Trace)


class MisspeltHook(Trace):
    @hook
    def route(self):
        return []


class UnknownHook(Trace):
    @hook
    def brew_coffee(self):
        return []


class UnmarkedHook(Trace):
    def routes(self):
        return [Route("GET", "/v1/unmarked", endpoint)]


class WrongArgument(Trace):
    @hook
    def routes(self, application):
        return []


class AsyncHook(Trace):
    @hook
    async def routes(self):
        return []


class RaisingHook(Trace):
    @hook
    def routes(self):
        raise ZeroDivisionError("in a hook")


class RaisingGenerator(Trace):
    @hook
    def routes(self):
        yield Route("GET", "/v1/trace", endpoint)
        raise ZeroDivisionError("in a generator")


class Constructor(Trace):
    def __init__(self, lab, config):
        super().__init__(lab, config)
        raise OSError("in a constructor")


class ConstructorSignature(Trace):
    def __init__(self):
        pass


class InvalidSchema(Trace):
    @hook
    def schemas(self):
        return {"Trace": SCHEMA, "TraceInvalid": {"type": "strange"}}


class InvalidPattern(Trace):
    @hook
    def schemas(self):
        return {"Trace": SCHEMA, "TracePattern": {"type": "string", "pattern": "(unclosed"}}


class SchemaNoJSON(Trace):
    @hook
    def schemas(self):
        return {"Trace": SCHEMA, "TraceNoJSON": {"default": {1, 2}}}


class SchemaTaken(Trace):
    @hook
    def schemas(self):
        return {"Trace": SCHEMA, "Project": {"type": "object"}}


class Unresolvable(Trace):
    @hook
    def routes(self):
        return [Route("POST", "/v1/trace", endpoint, body={"$ref": "labplane:Nowhere"})]


class RemoteReference(Trace):
    @hook
    def routes(self):
        return [Route("POST", "/v1/trace", endpoint, body={"properties": {"a": {"$ref": "http://127.0.0.1:9/a.json"}}})]


class InvalidSetting(Trace):
    settings = {"colour": {"type": "strange"}}


class BadConfig(Trace):
    settings = {"colour": {"enum": ["red", "blue"]}}


class KindTaken(Trace):
    @hook
    def drivers(self):
        driver = FineDriver(self.lab)
        driver.kind = "vpcs"
        return [driver]


class KindTwice(Trace):
    @hook
    def drivers(self):
        return [FineDriver(self.lab), FineDriver(self.lab)]


class BadKind(Trace):
    @hook
    def drivers(self):
        driver = FineDriver(self.lab)
        driver.kind = "No/Word"
        return [driver]


class AbstractDriver(Trace):
    @hook
    def drivers(self):
        class Half(Driver):
            kind = "trace"

            async def start(self, vm):
                pass

        return [Half(self.lab)]


class ReservedProperty(Trace):
    @hook
    def drivers(self):
        driver = FineDriver(self.lab)
        driver.properties = {"console": {"type": "integer"}}
        return [driver]


class MissingProperty(Trace):
    @hook
    def drivers(self):
        driver = FineDriver(self.lab)
        driver.required = ["memory"]
        return [driver]


class SyncDriver(Trace):
    @hook
    def drivers(self):
        class Sync(FineDriver):
            def reload(self, vm):
                pass

        return [Sync(self.lab)]


class RouteTaken(Trace):
    @hook
    def routes(self):
        return [Route("GET", "/v1/trace", endpoint), Route("GET", "/v1/projects/{other_name}", endpoint)]


class RouteTwice(Trace):
    @hook
    def routes(self):
        return [Route("GET", "/v1/trace", endpoint), Route("GET", "/v1/trace", endpoint)]


class OtherParameter(Trace):
    @hook
    def routes(self):
        return [Route("PATCH", "/v1/projects/{other_name}", endpoint)]


class OwnOtherParameter(Trace):
    @hook
    def routes(self):
        return [Route("GET", "/v1/trace/{one}", endpoint), Route("PUT", "/v1/trace/{another}", endpoint)]


class BadMethod(Trace):
    @hook
    def routes(self):
        return [Route("BREW", "/v1/trace", endpoint)]


class RelativePath(Trace):
    @hook
    def routes(self):
        return [Route("GET", "v1/trace", endpoint)]


class UnknownConvertor(Trace):
    @hook
    def routes(self):
        return [Route("GET", "/v1/trace/{number:roman}", endpoint)]


class RepeatedParameter(Trace):
    @hook
    def routes(self):
        return [Route("GET", "/v1/trace/{one}/{one}", endpoint)]


class NoEndpoint(Trace):
    @hook
    def routes(self):
        return [Route("GET", "/v1/trace", None)]


class RoutesNone(Trace):
    @hook
    def routes(self):
        self.forgot_to_return = [Route("GET", "/v1/trace", endpoint)]


class RoutesText(Trace):
    @hook
    def routes(self):
        return "/v1/trace"


class RoutesGarbage(Trace):
    @hook
    def routes(self):
        return [("GET", "/v1/trace", endpoint)]


class SchemasList(Trace):
    @hook
    def schemas(self):
        return [SCHEMA]


class DriversClass(Trace):
    @hook
    def drivers(self):
        return [FineDriver]


class NameTaken(Trace):
    pass
