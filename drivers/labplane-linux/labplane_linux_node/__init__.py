"""The program of a Linux node: it makes the node's namespaces and carries frames between its cards and its links.

It runs in a process of its own and imports nothing but Python's standard library.
"""
