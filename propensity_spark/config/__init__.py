"""What a user may set: one frozen dataclass per YAML section, each checking itself.

A section's defaults are the product's defaults; conf/base.yaml spells them out, and a test holds the two equal.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from propensity_spark.config.balance import BALANCES, BalanceConfig
from propensity_spark.config.judging import JudgeConfig, PromotionConfig
from propensity_spark.config.learning import (
    ENCODERS,
    FEATURE_GROUPS,
    FILLS,
    LEAST_RATE,
    LEVEL_ENCODERS,
    SCALERS,
    AuditConfig,
    CandidateConfig,
    ColdStartConfig,
    EncoderConfig,
    FeatureConfig,
    LabelConfig,
    NegativesConfig,
    PopulationConfig,
    TrainConfig,
)
from propensity_spark.config.models import (
    CALIBRATIONS,
    ENGINES,
    FAMILIES,
    CalibrationConfig,
    ForestConfig,
    GBTConfig,
    KernelSVMConfig,
    LightGBMConfig,
    LogisticConfig,
    ModelsConfig,
    RankerConfig,
    SplitConfig,
    SVMConfig,
    XGBoostConfig,
)
from propensity_spark.config.network import EmbeddingsConfig, NetworkConfig
from propensity_spark.config.running import ScoreConfig, SimulatorConfig, SparkConfig, StorageConfig, TrackingConfig
from propensity_spark.config.shop import (
    SOURCE_FORMATS,
    TIME_FORMATS,
    ColumnMap,
    EntityConfig,
    ListedConfig,
    MembersConfig,
    QualityConfig,
    RuleConfig,
    SeriesConfig,
    SessionConfig,
    ShopConfig,
    SourceConfig,
    TimeConfig,
)
from propensity_spark.config.tuning import TuneConfig
from propensity_spark.errors import ConfigError

__all__ = [
    "BALANCES",
    "CALIBRATIONS",
    "ENCODERS",
    "ENGINES",
    "FAMILIES",
    "FEATURE_GROUPS",
    "FILLS",
    "LEAST_RATE",
    "LEVEL_ENCODERS",
    "SCALERS",
    "SOURCE_FORMATS",
    "TIME_FORMATS",
    "AuditConfig",
    "BalanceConfig",
    "CalibrationConfig",
    "CandidateConfig",
    "ColdStartConfig",
    "ColumnMap",
    "Config",
    "EmbeddingsConfig",
    "EncoderConfig",
    "EntityConfig",
    "FeatureConfig",
    "ForestConfig",
    "GBTConfig",
    "JudgeConfig",
    "KernelSVMConfig",
    "LabelConfig",
    "LightGBMConfig",
    "ListedConfig",
    "LogisticConfig",
    "MembersConfig",
    "ModelsConfig",
    "NegativesConfig",
    "NetworkConfig",
    "PopulationConfig",
    "PromotionConfig",
    "QualityConfig",
    "RankerConfig",
    "RuleConfig",
    "SVMConfig",
    "ScoreConfig",
    "SeriesConfig",
    "SessionConfig",
    "ShopConfig",
    "SimulatorConfig",
    "SourceConfig",
    "SparkConfig",
    "SplitConfig",
    "StorageConfig",
    "TimeConfig",
    "TrackingConfig",
    "TrainConfig",
    "TuneConfig",
    "XGBoostConfig",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that a run depends on."""

    shop: ShopConfig = field(default_factory=ShopConfig)
    sources: tuple[SourceConfig, ...] = ()
    users: EntityConfig = field(default_factory=EntityConfig)
    products: EntityConfig = field(default_factory=EntityConfig)
    series: tuple[SeriesConfig, ...] = ()
    quality: QualityConfig = field(default_factory=QualityConfig)
    sessions: SessionConfig = field(default_factory=SessionConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    population: PopulationConfig = field(default_factory=PopulationConfig)
    candidates: CandidateConfig = field(default_factory=CandidateConfig)
    cold_start: ColdStartConfig = field(default_factory=ColdStartConfig)
    labels: LabelConfig = field(default_factory=LabelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    audit: AuditConfig = field(default_factory=AuditConfig)
    encoders: tuple[EncoderConfig, ...] = ()
    models: ModelsConfig = field(default_factory=ModelsConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    tune: TuneConfig = field(default_factory=TuneConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    promotion: PromotionConfig = field(default_factory=PromotionConfig)
    score: ScoreConfig = field(default_factory=ScoreConfig)
    storage: StorageConfig = field(default_factory=StorageConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    spark: SparkConfig = field(default_factory=SparkConfig)
    simulator: SimulatorConfig = field(default_factory=SimulatorConfig)

    def __post_init__(self) -> None:
        names = [source.name for source in self.sources]
        if len(set(names)) != len(names):
            raise ConfigError(f"sources need names of their own, got {names}")
        series = [one.name for one in self.series]
        if len(set(series)) != len(series):
            raise ConfigError(f"series need names of their own, got {series}")
        if self.features.segment_by and self.features.segment_by not in self.users.attributes:
            raise ConfigError(
                f"features.segment_by must be one of users.attributes ({', '.join(self.users.attributes) or 'there are none'}); "
                f"got {self.features.segment_by!r}"
            )
        for one in self.series:
            if one.region_of and one.region_of not in self.users.attributes:
                raise ConfigError(
                    f"series.{one.name}.region_of must be one of users.attributes "
                    f"({', '.join(self.users.attributes) or 'there are none'}); got {one.region_of!r}"
                )
        if "segment" in self.calibration.by and not self.features.segment_by:
            raise ConfigError("calibration.by: segment needs features.segment_by, the users' attribute that holds it")
        if self.candidates.segment and not self.features.segment_by and "segment" not in self.features.groups:
            raise ConfigError(
                f"candidates.segment is {self.candidates.segment}, and users have no segment: name features.segment_by, "
                "add segment to features.groups, or set candidates.segment: 0"
            )
        titles = [encoder.title for encoder in self.encoders]
        if len(set(titles)) != len(titles):
            raise ConfigError(f"encoders need names of their own, got {titles}: give one a `name`")

    @property
    def is_simulated(self) -> bool:
        """Whether its logs are those of the simulator, of whom the true propensities are known."""
        output = self.simulator.output
        return bool(output) and any(Path(path).is_relative_to(output) for source in self.sources for path in source.path)

    def with_champion(self, family: str) -> "Config":
        """The same shop with this family as champion."""
        families = self.models.families if family in self.models.families else (*self.models.families, family)
        return replace(self, models=replace(self.models, families=families, champion=family))

    def with_only(self, families: Collection[str]) -> "Config":
        """The same shop with these of its families alone; where its champion is none of them, the first of them is."""
        kept = tuple(family for family in self.models.families if family in families)
        champion = self.models.champion if self.models.champion in kept else kept[0]
        return replace(self, models=replace(self.models, families=kept, champion=champion))
