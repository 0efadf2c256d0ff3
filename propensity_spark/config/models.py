"""What learns: the families, the ranker and the calibration."""

from dataclasses import dataclass, field

from propensity_spark.config.checks import one_of, within
from propensity_spark.config.network import NetworkConfig
from propensity_spark.errors import ConfigError

CALIBRATIONS = ("auto", "platt", "beta", "isotonic", "none")
CALIBRATED_BY = ("exists", "activity", "segment", "category")
FAMILIES = ("lightgbm", "logistic", "svm", "kernel_svm", "forest", "gbt", "xgboost", "split", "network")
SPLITTABLE = tuple(family for family in FAMILIES if family not in ("split", "network"))  # that read no keys
FALLBACKS = ("none", "native", "ring", "synapseml")  # of a LightGBM fit that fails
ENGINES = ("auto", "native", "ring", "synapseml")  # of LightGBM


@dataclass(frozen=True, slots=True, kw_only=True)
class LightGBMConfig:
    """Gradient boosting; `timeout_seconds` ends a stuck fit.

    `leaves` 0: by the number of bought pairs, few for few. `min_data_in_leaf` is the most rows that a leaf needs: where they are
    few a two-hundred-and-fiftieth of all is enough, but never fewer than 20, unless fewer are set.
    `engine` auto: native LightGBM in one task up to `rows_on_one_task`, beyond that, or with a number of `tasks`, a ring of
    that many of them (0: of all that can run at once) by LightGBM's own network; synapseml does the same inside the JVM.
    `fallback`: the engine that takes over where the other one fails, hangs or stops early; none: the job ends with an error.
    `focal_gamma` above 0 counts pairs less that the trees are sure of (the focal loss), on the native engine; the scores
    become probabilities by the loss's own inverse. The ranker has a loss of its own. With `early_stopping_rounds` above 0 a
    tenth of the users is held out, on the native engine, and once their loss has not fallen for so many rounds the best is kept.
    `random_share` of the rounds, the last ones, draw the threshold of each split at random: first what is sure is learnt exactly,
    then the rest without learning by heart what one season had. (SynapseML splits exactly in all rounds.)
    """

    engine: str = "auto"
    fallback: str = "none"
    rounds: int = 200
    random_share: float = 0.75
    leaves: int = 0
    learning_rate: float = 0.03
    min_data_in_leaf: int = 400
    feature_fraction: float = 0.5
    bagging_fraction: float = 0.8
    l2: float = 20.0
    focal_gamma: float = 0.0
    early_stopping_rounds: int = 0
    max_bin: int = 127
    tasks: int = 0
    rows_on_one_task: int = 5_000_000
    timeout_seconds: int = 1800

    def __post_init__(self) -> None:
        one_of("models.lightgbm.engine", self.engine, ENGINES)
        one_of("models.lightgbm.fallback", self.fallback, FALLBACKS)
        within("models.lightgbm.rounds", self.rounds, 1, 100_000)
        within("models.lightgbm.random_share", self.random_share, 0, 1)
        if self.leaves:
            within("models.lightgbm.leaves", self.leaves, 2, 4096)
        within("models.lightgbm.learning_rate", self.learning_rate, 1e-5, 1)
        within("models.lightgbm.min_data_in_leaf", self.min_data_in_leaf, 1, 10**7)
        within("models.lightgbm.feature_fraction", self.feature_fraction, 0.01, 1)
        within("models.lightgbm.bagging_fraction", self.bagging_fraction, 0.01, 1)
        within("models.lightgbm.l2", self.l2, 0, 1e6)
        within("models.lightgbm.focal_gamma", self.focal_gamma, 0, 10)
        within("models.lightgbm.early_stopping_rounds", self.early_stopping_rounds, 0, 100_000)
        if self.only_native and ({"ring", "synapseml"} & {self.engine, self.fallback} or self.tasks):
            raise ConfigError(
                f"models.lightgbm.{self.only_native} is for the native engine: set it to 0, or engine: native, tasks: 0 and "
                "fallback: none"
            )
        if self.focal_gamma and self.early_stopping_rounds:
            raise ConfigError("models.lightgbm.early_stopping_rounds watches the log loss: set it, or focal_gamma, to 0")
        within("models.lightgbm.max_bin", self.max_bin, 2, 65535)
        within("models.lightgbm.tasks", self.tasks, 0, 100_000)
        within("models.lightgbm.rows_on_one_task", self.rows_on_one_task, 0, 10**12)
        within("models.lightgbm.timeout_seconds", self.timeout_seconds, 10, 10**6)

    @property
    def only_native(self) -> str:
        """A setting that is used and that the native engine alone knows; empty where there is none."""
        return "focal_gamma" if self.focal_gamma else "early_stopping_rounds" if self.early_stopping_rounds else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogisticConfig:
    """Logistic regression (Spark ML) with elastic net on standardised, log-scaled features."""

    regularisation: float = 1e-4
    elastic_net: float = 0.0
    max_iterations: int = 30

    def __post_init__(self) -> None:
        within("models.logistic.regularisation", self.regularisation, 0, 1e6)
        within("models.logistic.elastic_net", self.elastic_net, 0, 1)
        within("models.logistic.max_iterations", self.max_iterations, 1, 10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class SVMConfig:
    """Linear support vector machine (Spark ML) on the inputs of the logistic regression.

    `positive_weight`: how many rows a bought one counts for, since a margin pays no heed to a class of few rows; 0: as many as
    make both classes weigh the same.
    """

    regularisation: float = 1e-3
    max_iterations: int = 50
    positive_weight: float = 0.0

    def __post_init__(self) -> None:
        within("models.svm.regularisation", self.regularisation, 0, 1e6)
        within("models.svm.max_iterations", self.max_iterations, 1, 10_000)
        within("models.svm.positive_weight", self.positive_weight, 0, 1e6)


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelSVMConfig:
    """The same machine on random Fourier features of those inputs, which stand for a Gaussian kernel exp(-gamma distance^2).

    `components`: how many, half of them cosines and half sines. `gamma` 0: one over the number of inputs that vary.
    """

    components: int = 256
    gamma: float = 0.0
    regularisation: float = 1e-3
    max_iterations: int = 50
    positive_weight: float = 0.0

    def __post_init__(self) -> None:
        within("models.kernel_svm.components", self.components, 2, 100_000)
        within("models.kernel_svm.gamma", self.gamma, 0, 1e6)
        within("models.kernel_svm.regularisation", self.regularisation, 0, 1e6)
        within("models.kernel_svm.max_iterations", self.max_iterations, 1, 10_000)
        within("models.kernel_svm.positive_weight", self.positive_weight, 0, 1e6)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestConfig:
    """Random forest (Spark ML). `feature_fraction` of each split; 0: the square root of how many features there are."""

    trees: int = 100
    depth: int = 10
    min_data_in_leaf: int = 50
    feature_fraction: float = 0.0
    bagging_fraction: float = 0.8
    max_bin: int = 64

    def __post_init__(self) -> None:
        within("models.forest.trees", self.trees, 1, 100_000)
        within("models.forest.depth", self.depth, 1, 30)
        within("models.forest.min_data_in_leaf", self.min_data_in_leaf, 1, 10**7)
        if self.feature_fraction:
            within("models.forest.feature_fraction", self.feature_fraction, 0.01, 1)
        within("models.forest.bagging_fraction", self.bagging_fraction, 0.01, 1)
        within("models.forest.max_bin", self.max_bin, 2, 65535)


@dataclass(frozen=True, slots=True, kw_only=True)
class GBTConfig:
    """Gradient boosted trees (Spark ML), a round after the other on all rows: slower than LightGBM."""

    rounds: int = 50
    depth: int = 5
    learning_rate: float = 0.1
    min_data_in_leaf: int = 100
    feature_fraction: float = 0.5
    bagging_fraction: float = 0.8
    max_bin: int = 64

    def __post_init__(self) -> None:
        within("models.gbt.rounds", self.rounds, 1, 100_000)
        within("models.gbt.depth", self.depth, 1, 30)
        within("models.gbt.learning_rate", self.learning_rate, 1e-5, 1)
        within("models.gbt.min_data_in_leaf", self.min_data_in_leaf, 1, 10**7)
        within("models.gbt.feature_fraction", self.feature_fraction, 0.01, 1)
        within("models.gbt.bagging_fraction", self.bagging_fraction, 0.01, 1)
        within("models.gbt.max_bin", self.max_bin, 2, 65535)


@dataclass(frozen=True, slots=True, kw_only=True)
class XGBoostConfig:
    """XGBoost's own Spark estimator (needs the extra `xgboost`). `timeout_seconds` ends a stuck fit.

    `min_child_weight` is a sum of p (1 - p) over a leaf's rows, not a number of rows. With one of the `workers` equal rows give an
    equal model; more of them share the rows, a core each. With `early_stopping_rounds` above 0 a tenth of the users is held out,
    and once their loss has not fallen for so many rounds the best is kept.
    """

    rounds: int = 300
    depth: int = 5
    learning_rate: float = 0.05
    min_child_weight: float = 10.0
    feature_fraction: float = 0.5
    bagging_fraction: float = 0.8
    l1: float = 0.0
    l2: float = 20.0
    early_stopping_rounds: int = 0
    max_bin: int = 128
    workers: int = 1
    timeout_seconds: int = 1800

    def __post_init__(self) -> None:
        within("models.xgboost.rounds", self.rounds, 1, 100_000)
        within("models.xgboost.depth", self.depth, 1, 30)
        within("models.xgboost.learning_rate", self.learning_rate, 1e-5, 1)
        within("models.xgboost.min_child_weight", self.min_child_weight, 0, 1e7)
        within("models.xgboost.feature_fraction", self.feature_fraction, 0.01, 1)
        within("models.xgboost.bagging_fraction", self.bagging_fraction, 0.01, 1)
        within("models.xgboost.l1", self.l1, 0, 1e6)
        within("models.xgboost.l2", self.l2, 0, 1e6)
        within("models.xgboost.early_stopping_rounds", self.early_stopping_rounds, 0, 100_000)
        within("models.xgboost.max_bin", self.max_bin, 2, 65535)
        within("models.xgboost.workers", self.workers, 1, 100_000)
        within("models.xgboost.timeout_seconds", self.timeout_seconds, 10, 10**6)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitConfig:
    """A family fitted on all rows, and once more for each level of a column where that pays (see models.split).

    `column`: of the joined rows, as category, or an attribute that an encoder reads. A level needs `min_positives` bought rows, and
    at most so many levels (`most`) are tried. `min_agreement`: the correlation with the pooled model below which a level's own
    model contradicts it.
    """

    family: str = "lightgbm"
    column: str = "category"
    most: int = 10
    min_positives: int = 500
    min_agreement: float = 0.5

    def __post_init__(self) -> None:
        one_of("models.split.family", self.family, SPLITTABLE)
        if not self.column:
            raise ConfigError("models.split.column must name a column of the joined rows, such as category")
        within("models.split.most", self.most, 1, 1000)
        within("models.split.min_positives", self.min_positives, 10, 10**9)
        within("models.split.min_agreement", self.min_agreement, -1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RankerConfig:
    """LambdaRank, which orders each user's list together with the champion; `rounds` 0: the champion alone.

    `truncation`: how many places of a list count. All else is as of models.lightgbm.
    """

    rounds: int = 150
    learning_rate: float = 0.05
    truncation: int = 20

    def __post_init__(self) -> None:
        within("models.ranker.rounds", self.rounds, 0, 100_000)
        within("models.ranker.learning_rate", self.learning_rate, 1e-5, 1)
        within("models.ranker.truncation", self.truncation, 1, 10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelsConfig:
    """The families to train, the one whose scores are published, and the ranker beside it."""

    families: tuple[str, ...] = ("lightgbm", "logistic")
    champion: str = "lightgbm"
    lightgbm: LightGBMConfig = field(default_factory=LightGBMConfig)
    logistic: LogisticConfig = field(default_factory=LogisticConfig)
    svm: SVMConfig = field(default_factory=SVMConfig)
    kernel_svm: KernelSVMConfig = field(default_factory=KernelSVMConfig)
    forest: ForestConfig = field(default_factory=ForestConfig)
    gbt: GBTConfig = field(default_factory=GBTConfig)
    xgboost: XGBoostConfig = field(default_factory=XGBoostConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    ranker: RankerConfig = field(default_factory=RankerConfig)

    def __post_init__(self) -> None:
        for family in self.families:
            one_of("models.families", family, FAMILIES)
        one_of("models.champion", self.champion, self.families)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationConfig:
    """How raw scores become probabilities; `auto` takes what does best on held-out calibration users.

    `by`: segments whose level is set right after that, the one that helps most on those users: exists (bought before or never),
    activity (the user's orders), segment (features.segment_by), category; none where none helps. `shrinkage`: towards no change,
    in purchases. `interval`: the share of `draws` samples of those users between whose ends a score's level is told (draws 0: it is
    not told).
    """

    method: str = "auto"
    by: tuple[str, ...] = ("exists",)
    shrinkage: float = 50.0
    interval: float = 0.9
    draws: int = 100

    def __post_init__(self) -> None:
        one_of("calibration.method", self.method, CALIBRATIONS)
        for by in self.by:
            one_of("calibration.by", by, CALIBRATED_BY)
        within("calibration.shrinkage", self.shrinkage, 1, 1e9)
        within("calibration.interval", self.interval, 0.5, 0.99)
        if self.draws:
            within("calibration.draws", self.draws, 20, 10_000)
