"""The routes of section 0 of docs/api.md."""


def every_route(project: str, vm: str) -> list[tuple[str, str]]:
    """All routes of section 0, those that end things last."""
    nio = f"{vm}/adapters/0/ports/0/nio"
    return [
        ("GET", "/v1/version"),
        ("POST", "/v1/version"),
        ("POST", "/v1/projects"),
        ("GET", "/v1/projects"),
        ("GET", project),
        ("PUT", project),
        ("POST", f"{project}/commit"),
        ("GET", f"{project}/files"),
        ("GET", f"{project}/export"),
        ("POST", "/v1/ports/udp"),
        ("POST", f"{project}/ports/udp"),
        ("GET", "/v1/interfaces"),
        ("GET", "/v1/status"),
        ("POST", f"{project}/vpcs/vms"),
        ("GET", f"{project}/vpcs/vms"),
        ("GET", vm),
        ("PUT", vm),
        ("GET", nio),
        ("POST", nio),
        ("DELETE", nio),
        ("POST", f"{vm}/start"),
        ("POST", f"{vm}/stop"),
        ("POST", f"{vm}/reload"),
        ("DELETE", vm),
        ("POST", f"{project}/close"),
        ("DELETE", project),
        ("POST", "/v1/config/reload"),
        ("POST", "/v1/server/shutdown"),
    ]
