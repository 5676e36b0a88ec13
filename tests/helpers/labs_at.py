"""Commands on labs, as a user runs them at a server, and what they print."""

import json
from collections.abc import Callable
from typing import Any

from click.testing import Result

Run = Callable[..., Result]


def shown(result: Result) -> Any:
    """What a command printed with -o json."""
    return json.loads(result.stdout)
