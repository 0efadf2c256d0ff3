"""Declared features, computed as of a date."""
