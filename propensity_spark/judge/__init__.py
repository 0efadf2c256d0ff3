"""Calibration, metrics, baselines and the report."""
