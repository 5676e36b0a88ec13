"""The numbers and ends from which links are made."""
