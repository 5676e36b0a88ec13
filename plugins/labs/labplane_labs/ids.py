"""The ids of labs and nodes, which follow from their names, so that a lab is found again by its file."""

from uuid import UUID, uuid5

NAMESPACE = UUID("7d1f0d5e-3b0c-4c5a-9b53-2c6f6f2a9c11")


def project_id(lab: str) -> str:
    """The id of the project of the lab of that name."""
    return str(uuid5(NAMESPACE, lab))


def vm_id(lab: str, node: str) -> str:
    """The id of the VM of that node in that lab."""
    return str(uuid5(NAMESPACE, f"{lab}/{node}"))


def copy_name(lab: str, number: int) -> str:
    """The name of one of several copies of a lab, from 1 on."""
    return f"{lab}-{number:02}"
