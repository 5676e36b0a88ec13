"""Programs that are not confined are told, so that who runs a server knows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from inprocess import offering, serving
from labplane import VM, ProcessDriver


class Free(ProcessDriver):
    """May do what the server may."""

    kind = "free"
    confined = False

    def command(self, vm: VM) -> Sequence[str]:
        return ["/bin/cat"]


class Bound(Free):
    """May not."""

    kind = "bound"
    confined = True


class Launched(Free):
    """Makes its namespaces, and confines itself then."""

    kind = "launched"
    confines_itself = True


@pytest.mark.parametrize("sandbox", ["auto", "off"])
def test_the_list_of_plugins_says_which_kinds_are_not_confined(sandbox: str, tmp_path: Path) -> None:
    with serving(tmp_path, [offering(Free, Bound, Launched)], sandbox=sandbox) as served:
        told: dict[str, Any] = {one["name"]: one for one in served.http.get("/v1/plugins").json()}
        all_free = sandbox == "off" or not served.lab.terminals.can_confine
        assert told["testing"]["unconfined"] == (["bound", "free"] if all_free else ["free"])
        assert told["projects"]["unconfined"] == []
