"""The Python client of a labplane server. It imports nothing of the server, and `labplane.client` is its other name."""

from labplane_client.client import VM, AsyncClient, Client, Operations, Project, operation
from labplane_client.errors import ClientError

__all__ = ["VM", "AsyncClient", "Client", "ClientError", "Operations", "Project", "operation"]
