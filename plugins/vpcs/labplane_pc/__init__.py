"""A virtual PC: a small network host with the console of VPCS, without sockets, clocks or threads of its own.

`VirtualPC` takes frames, keys and the time, and gives frames and output. It imports nothing of the server.
"""

from labplane_pc.pc import Link, VirtualPC

__all__ = ["Link", "VirtualPC"]
