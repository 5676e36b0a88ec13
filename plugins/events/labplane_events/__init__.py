"""Events of the lab, sent to clients on streams as they happen."""

from labplane_events.plugin import Events

__all__ = ["Events"]
