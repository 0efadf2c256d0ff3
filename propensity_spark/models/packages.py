"""Packages that a family needs besides those of this package; each is an extra of the family's name."""

from importlib.util import find_spec

from propensity_spark.errors import SetupError


def is_here(package: str) -> bool:
    """Whether it is installed."""
    return find_spec(package) is not None


def need(package: str, family: str) -> None:
    """Raise SetupError, with how to get the package, where it is absent."""
    if not is_here(package):
        raise SetupError(f"the family {family} needs the package {package}. Install it: pip install 'propensity_spark[{family}]'.")
