"""VMs: their drivers, and the operations that run under a VM's lock."""
