"""Labs in files, and commands that work on them. The modules but for `plugin` know a server by the client alone."""
