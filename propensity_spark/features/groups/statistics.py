"""Mean and spread from sums that merge, as SQL aggregates over a pair's measures: count, sum and sum of squares."""


def mean(count: str, total: str) -> str:
    """The mean of the values; null without any."""
    return f"sum({total}) / nullif(sum({count}), 0)"


def spread(count: str, total: str, squares: str) -> str:
    """The standard deviation of a sample, in the values' unit; null below two values.

    What is left of a billionth of the squares is rounding, in an order that differs from run to run: it counts as nothing.
    """
    squared = f"sum({squares}) - sum({total}) * sum({total}) / sum({count})"
    certain = f"IF({squared} > 1e-9 * sum({squares}), {squared}, 0)"
    return f"IF(sum({count}) > 1, sqrt({certain} / (sum({count}) - 1)), NULL)"
