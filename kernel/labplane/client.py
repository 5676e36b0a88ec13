"""The Python client, under its old name; `labplane_client` is the same and loads nothing of the server."""

from labplane_client import VM, AsyncClient, Client, ClientError, Operations, Project, operation

__all__ = ["VM", "AsyncClient", "Client", "ClientError", "Operations", "Project", "operation"]
