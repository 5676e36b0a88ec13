"""The keeper: a program that owns the processes and terminals of emulators; the server is its client and may die.

It is started as ``python -IS keeper.py`` and imports nothing of labplane, which would be three times as large. A *run*
is one program on a pty, with numbered output; of VMs the keeper knows nothing. docs/keeper.md has its protocol.

PROTOCOL, OLDEST: the version of the protocol that it speaks best, and the oldest that it speaks.
SCHEMA:           of the state that it hands to the keeper that goes on in its place.
VERSION:          of the program; higher in a newer one.
"""

PROTOCOL = 1
OLDEST = 1
SCHEMA = 1
VERSION = 4
