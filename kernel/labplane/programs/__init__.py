"""Drivers of programs: what they start through the keeper, and how that outlasts a server."""
