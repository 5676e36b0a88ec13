"""The one form of a JSON reply: four spaces, sorted keys, exactly ``application/json`` (T-5)."""

import json
from typing import Any

from starlette.responses import Response


class JSONReply(Response):
    """`content` as JSON, indented by four spaces, keys sorted."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, indent=4, sort_keys=True, allow_nan=False).encode("ascii")
