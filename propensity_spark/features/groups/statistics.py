"""Mean and spread from sums that merge, as SQL aggregates over a pair's measures: count, sum and sum of squares."""


def mean(count: str, total: str) -> str:
    """The mean of the values; null without any."""
    return f"sum({total}) / nullif(sum({count}), 0)"


def spread(count: str, total: str, squares: str) -> str:
    """The standard deviation of a sample, in the values' unit; null below two values."""
    squared = f"sum({squares}) - sum({total}) * sum({total}) / sum({count})"  # rounding may leave it below nothing
    return f"IF(sum({count}) > 1, sqrt(greatest({squared}, 0) / (sum({count}) - 1)), NULL)"
