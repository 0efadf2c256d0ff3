"""The families by name. Adding one is one file and one row here (and its settings in config/models.py)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import DataFrame

from propensity_spark.config import ModelsConfig
from propensity_spark.features.spec import Feature
from propensity_spark.models import forest, kernel, linear, network, packages, split, svm, trees, watchdog, xgb
from propensity_spark.models.contract import Builder, Fitted
from propensity_spark.models.fast import Predict, Scorer


@dataclass(frozen=True, slots=True)
class Family:
    """How a family is fitted, and how its scorer predicts a matrix of its inputs (NaN: missing).

    `package` is what it needs besides this package's own dependencies; `only_to_fit`: what it has learnt does without.
    """

    fit: Builder
    predictor: Callable[[Scorer], Predict]
    package: str = ""
    only_to_fit: bool = False

    def __call__(self, rows: DataFrame, features: Sequence[Feature], config: ModelsConfig, seed: int) -> Fitted:
        """Fit the family on the rows: see `Builder`.

        Raises TrainingFailed too where Spark gives up on a job of the fit, RowsLost where that is since the rows are gone. A query
        that cannot be meant is a bug, and stays one.
        """
        try:
            return self.fit(rows, features, config, seed)
        except AnalysisException:
            raise
        except (Py4JJavaError, PySparkException) as problem:
            name = next((name for name, family in FAMILIES.items() if family is self), "a family")
            raise watchdog.failed(f"the fit of {name}", problem) from problem


FAMILIES: dict[str, Family] = {
    "lightgbm": Family(trees.fit_lightgbm, trees.predictor),
    "logistic": Family(linear.fit_logistic, linear.predictor),
    "svm": Family(svm.fit_svm, svm.predictor),
    "kernel_svm": Family(kernel.fit_kernel_svm, kernel.predictor),
    "forest": Family(forest.fit_forest, forest.forest_predictor),
    "gbt": Family(forest.fit_gbt, forest.gbt_predictor),
    "xgboost": Family(xgb.fit_xgboost, xgb.predictor, package="xgboost"),
    "split": Family(split.fit_split, split.predictor),
    "network": Family(network.fit_network, network.predictor, package="torch", only_to_fit=True),
}


def installed() -> tuple[str, ...]:
    """The families whose packages are here."""
    return tuple(name for name, family in FAMILIES.items() if not family.package or packages.is_here(family.package))


def check_installed(config: ModelsConfig, families: Sequence[str] = ()) -> None:
    """Raise SetupError where a family's package is not here: its fit would say so after all that comes before.

    `families`: those that will be fitted; none named: all that are configured.
    """
    chosen = families or config.families
    wanted = {*chosen, *([config.split.family] if "split" in chosen else [])}
    for name in sorted(wanted - set(installed())):
        packages.need(FAMILIES[name].package, name)
