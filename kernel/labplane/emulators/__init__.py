"""Programs on terminals. Nothing here knows of VMs."""
