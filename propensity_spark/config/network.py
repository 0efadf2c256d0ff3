"""The neural network and its embeddings."""

from dataclasses import dataclass, field

from propensity_spark.config.checks import within
from propensity_spark.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingsConfig:
    """Numbers that the network learns per value of a column, as product_id; of columns that the rows lack none.

    A value falls into one of the `buckets` of its column; `size` numbers each. They begin at 0: a value that no training row had
    adds nothing. `weight_decay` is theirs alone. `hidden`: the share of values that a training batch does not show, so that
    rows without a known value are learnt from too.
    """

    columns: tuple[str, ...] = ("product_id", "category", "user_id")
    buckets: int = 20_000
    size: int = 8
    weight_decay: float = 0.1
    hidden: float = 0.1

    def __post_init__(self) -> None:
        if len(set(self.columns)) < len(self.columns) or not all(self.columns):
            raise ConfigError(f"models.network.embeddings.columns must be distinct names, got {', '.join(self.columns)!r}")
        within("models.network.embeddings.buckets", self.buckets, 2, 10_000_000)
        within("models.network.embeddings.size", self.size, 1, 1024)
        within("models.network.embeddings.weight_decay", self.weight_decay, 0, 100)
        within("models.network.embeddings.hidden", self.hidden, 0, 0.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """A multilayer perceptron beside embeddings (needs the extra `network`). `timeout_seconds` ends a stuck fit.

    `layers`: how wide each hidden layer is, from the inputs on. It learns in batches of `batch_rows`, for `epochs` at most, and
    ends once the loss of the validation users (that share of them) has not fallen for `patience` epochs; what was best is kept.
    `validation_share` 0: all epochs, no validation. With one of the `workers` equal rows give an equal model, on equally many
    cores; more of them share the rows, each batch as well.
    """

    layers: tuple[int, ...] = (64, 32)
    dropout: float = 0.1
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    batch_rows: int = 1024
    epochs: int = 30
    patience: int = 3
    validation_share: float = 0.1
    embeddings: EmbeddingsConfig = field(default_factory=EmbeddingsConfig)
    workers: int = 1
    timeout_seconds: int = 1800

    def __post_init__(self) -> None:
        for width in self.layers:
            within("models.network.layers", width, 1, 16_384)
        within("models.network.dropout", self.dropout, 0, 0.9)
        within("models.network.learning_rate", self.learning_rate, 1e-6, 1)
        within("models.network.weight_decay", self.weight_decay, 0, 100)
        within("models.network.batch_rows", self.batch_rows, 1, 10_000_000)
        within("models.network.epochs", self.epochs, 1, 100_000)
        within("models.network.patience", self.patience, 1, 100_000)
        within("models.network.validation_share", self.validation_share, 0, 0.5)
        within("models.network.workers", self.workers, 1, 100_000)
        within("models.network.timeout_seconds", self.timeout_seconds, 10, 10**6)
