"""``python -m labplane`` is the command ``labplane``."""

from labplane.cli import main

main()
