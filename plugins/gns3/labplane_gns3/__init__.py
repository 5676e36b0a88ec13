"""Everything that only the programs of GNS3 need."""
