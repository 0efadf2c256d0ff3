"""Purchase propensity on Spark: from a shop's own logs to a table of calibrated probabilities."""

__version__ = "0.1.0"
