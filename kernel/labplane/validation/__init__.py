"""Strict JSON that fits its schema."""
