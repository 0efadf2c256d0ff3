"""The families by name. Adding one is one file and one row here."""

from propensity_spark.models.contract import Builder
from propensity_spark.models.linear import fit_logistic
from propensity_spark.models.trees import fit_lightgbm

FAMILIES: dict[str, Builder] = {"lightgbm": fit_lightgbm, "logistic": fit_logistic}
