"""The contract with plugins, and loading each of them in whole or not at all."""
