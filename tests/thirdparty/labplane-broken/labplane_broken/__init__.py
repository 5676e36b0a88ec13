"""Every way in which a plugin can be broken; no two in one class."""
