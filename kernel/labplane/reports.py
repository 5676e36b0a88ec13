"""The report of a plugin: whether it was taken in, and its faults since."""

from dataclasses import dataclass, field


@dataclass
class Report:
    """state: "active", "disabled", "failed" or "other API version".

    survives:   of its kinds, those whose VMs run on when the server ends or is killed, for the next one.
    error:      the reason why the plugin was left out.
    warnings:   a sentence for each deprecated thing that it uses.
    faults:     how often it raised something other than a LabError, blocked the server or was cancelled for taking too
                long.
    last_fault: the latest fault.
    unconfined: those of its kinds whose programs are not confined here.
    """

    name: str
    state: str
    distribution: str
    version: str
    api: str
    hooks: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    survives: list[str] = field(default_factory=list)
    routes: list[str] = field(default_factory=list)
    error: str | None = None
    warnings: list[str] = field(default_factory=list)
    faults: int = 0
    last_fault: str | None = None
    unconfined: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"plugin {self.name} ({self.source})"

    @property
    def source(self) -> str:
        return f"{self.distribution} {self.version}".rstrip()

    def blame(self, fault: str) -> None:
        """Count a fault."""
        self.faults += 1
        self.last_fault = fault
