"""The commands that `labplane` has for labs, each a click command. They know a server by its HTTP API alone."""
