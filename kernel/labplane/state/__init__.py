"""The state of a lab on the disk: a database that is written before each reply, and the lock of its directory."""
