"""Coverage-guided fuzzing of what takes bytes from outside; the targets are those of tests/helpers/targets.py."""
