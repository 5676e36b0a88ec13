"""The engine: one process for all machines of a server that are no programs, the built-in PCs for example.

It speaks the keeper's protocol (docs/keeper.md), so that its machines survive the server. Whoever brings a machine
writes a class, a `Machine`, which the engine finds by a name like ``package.module:Class``, and calls with a `World`,
with settings in JSON types, and with descriptors. It imports nothing of the server.
"""

from labplane_engine.ends import End
from labplane_engine.world import Machine, World

__all__ = ["End", "Machine", "World"]
