"""The server's side of the keeper, and of other programs of its protocol. The keeper itself is labplane_keeper."""
