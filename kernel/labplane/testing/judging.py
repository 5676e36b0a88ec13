"""Judges JSON values by the schemas that a server publishes. It uses jsonschema alone, no code of the server."""

from collections.abc import Mapping
from typing import Any

import jsonschema
from jsonschema import validators
from jsonschema.exceptions import best_match
from referencing import Registry

Schema = Mapping[str, Any]
Validator = jsonschema.protocols.Validator

# JSON Schema 2020-12, but an integer is written as one: 2000.0 is none (T-11).
_Validator: type[Validator] = validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator, type_checker=jsonschema.Draft4Validator.TYPE_CHECKER
)


def validator(schema: Schema, registry: Registry[Any]) -> Validator:
    """A validator for `schema`; its references lead into `registry`."""
    return _Validator(schema, registry=registry)


def complaint(judge: Validator, value: Any, whole: str) -> str | None:
    """The reason why `value`, which is called `whole`, does not fit; None when it does."""
    error = best_match(judge.iter_errors(value))
    if error is None:
        return None
    field = ".".join(str(step) for step in error.absolute_path)
    return f"{f'{field!r} of ' if field else ''}{whole}: {error.message[:200]}"
