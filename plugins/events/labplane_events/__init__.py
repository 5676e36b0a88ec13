"""Events: what happens in the lab, told on streams while it happens."""

from labplane_events.plugin import Events

__all__ = ["Events"]
