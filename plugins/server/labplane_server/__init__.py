"""The server itself: its network interfaces, its status as JSON and as a page, its end and its configuration."""

from labplane_server.plugin import Server

__all__ = ["Server"]
