"""Table contracts: columns, keys, partitions, units, and the job that writes each table.

Times are UTC instants; `event_date` and `as_of` are dates of the shop's own calendar (its midnights).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from pyspark.sql.types import StructType, _parse_datatype_string

EVENT_TYPES = ("view", "cart", "favourite", "purchase", "return")
IGNORED = "ignore"  # in place of a type: rows that say nothing of buying
WHOLE_NUMBER = r"^(-?\d+)\.0+$"  # 17850.0, as exports write 17850 where a column has a gap


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table's contract. `open_ended` tables carry further columns (features) behind the fixed ones."""

    name: str
    ddl: str
    keys: tuple[str, ...]
    writer: str
    partition_by: tuple[str, ...] = ()
    open_ended: bool = False
    properties: Mapping[str, str] = field(default_factory=dict)  # of the Delta table
    about: str = ""
    columns: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        names = tuple(part.split()[0] for part in self.ddl.split(", "))
        object.__setattr__(self, "columns", names)

    def struct(self) -> StructType:
        """The fixed columns as a Spark schema; needs a running session."""
        return cast(StructType, _parse_datatype_string(self.ddl))


def _bounds_of(first: int) -> dict[str, str]:
    """Delta keeps each file's bounds of so many columns, partitions aside: who lays a table out by its keys needs theirs.

    Files hold users of any name: those of all columns take time, and let no query skip a file.
    """
    return {"delta.dataSkippingNumIndexedCols": str(first)}


# What `ingest` hands to every later stage: one row per accepted event.
EVENTS = Table(
    name="silver.events",
    ddl="event_id STRING, user_id STRING, product_id STRING, event STRING, event_ts TIMESTAMP, event_date DATE, "
    "price DOUBLE, quantity DOUBLE, amount DOUBLE, order_id STRING, session_id STRING, session_no INT, "
    "category STRING, ingested_ts TIMESTAMP, known_ts TIMESTAMP, "
    "cancelled_ts TIMESTAMP, cancelled_known_ts TIMESTAMP, is_bot BOOLEAN, source STRING, "
    "source_file STRING",
    keys=("event_id",),
    writer="ingest",
    properties=_bounds_of(6),
    about="price per piece, amount as the log gives it, else price x quantity; cancelled_ts: when the whole "
    "order line was taken back (null: never); known_ts and cancelled_known_ts: when the shop knew of the row and of its being "
    "taken back; is_bot: this user behaved like a machine on this day",
)
EVENTS_REJECTED = Table(
    name="silver.events_rejected",
    ddl="source STRING, source_file STRING, user_id STRING, product_id STRING, event STRING, event_time STRING, "
    "price STRING, quantity STRING, order_id STRING, reasons ARRAY<STRING>, rejected_at TIMESTAMP",
    keys=(),
    writer="ingest",
    about="rows as received, as text, with every reason for which they were refused",
)
PRODUCTS = Table(
    name="silver.products",
    ddl="product_id STRING, name STRING, category STRING, price DOUBLE, attributes MAP<STRING,STRING>",
    keys=("product_id",),
    writer="ingest",
    about="every product of the catalogue or of the logs; price: the last known one",
)
USERS = Table(
    name="silver.users",
    ddl="user_id STRING, attributes MAP<STRING,STRING>",
    keys=("user_id",),
    writer="ingest",
)
_VERSIONED = (
    "half-open [valid_from, valid_to), valid_to null: still; known_ts: since when the shop knew it. 1900-01-01 stands for ever: "
    "where the shop's table has no dates, the first version seen of a key is taken to have held always, since nothing better is "
    "known, and each later one since the ingest that met it"
)
USER_VERSIONS = Table(
    name="silver.user_versions",
    ddl="user_id STRING, attributes MAP<STRING,STRING>, valid_from TIMESTAMP, valid_to TIMESTAMP, known_ts TIMESTAMP",
    keys=("user_id", "valid_from", "known_ts"),
    writer="ingest",
    about=_VERSIONED,
)
PRODUCT_VERSIONS = Table(
    name="silver.product_versions",
    ddl="product_id STRING, name STRING, category STRING, price DOUBLE, attributes MAP<STRING,STRING>, valid_from TIMESTAMP, "
    "valid_to TIMESTAMP, known_ts TIMESTAMP",
    keys=("product_id", "valid_from", "known_ts"),
    writer="ingest",
    about=_VERSIONED,
)
VERSIONS = {"user_id": USER_VERSIONS.name, "product_id": PRODUCT_VERSIONS.name}
SERIES = Table(
    name="silver.series",
    ddl="series STRING, day DATE, until DATE, region STRING, campaign STRING, values MAP<STRING,DOUBLE>, known_ts TIMESTAMP",
    keys=("series", "day", "region", "campaign", "known_ts"),
    writer="ingest",
    about="what holds on the shop's days [day, until), everywhere (region null) or in one region or campaign; known_ts: since "
    "when it was known (1900-01-01: always); a later known_ts of the same day replaces an earlier one from then on",
)
SERIES_MEMBERS = Table(
    name="silver.series_members",
    ddl="series STRING, campaign STRING, user_id STRING, valid_from TIMESTAMP, valid_to TIMESTAMP, known_ts TIMESTAMP",
    keys=("series", "campaign", "user_id", "valid_from", "known_ts"),
    writer="ingest",
    about="who belongs to a campaign in [valid_from, valid_to); without dates: as long as the campaign runs",
)
INTAKE = Table(
    name="silver.intake",
    ddl="source STRING, step STRING, reason STRING, rows BIGINT",
    keys=("source", "step", "reason"),
    writer="ingest",
    about="what became of the received rows: step is received, ignored, rejected, refused, duplicate, accepted or bot",
)

FEATURES_USER = Table(
    name="features.user",
    ddl="as_of DATE, user_id STRING, feature_version STRING",
    keys=("as_of", "user_id"),
    writer="build-features",
    partition_by=("as_of",),
    open_ended=True,
    properties=_bounds_of(1),
)
FEATURES_PRODUCT = Table(
    name="features.product",
    ddl="as_of DATE, product_id STRING, feature_version STRING",
    keys=("as_of", "product_id"),
    writer="build-features",
    partition_by=("as_of",),
    open_ended=True,
)
FEATURES_PAIR = Table(
    name="features.pair",
    ddl="as_of DATE, user_id STRING, product_id STRING, feature_version STRING",
    keys=("as_of", "user_id", "product_id"),
    writer="build-features",
    partition_by=("as_of",),
    open_ended=True,
    properties=_bounds_of(2),
)
FEATURES_CATEGORY = Table(
    name="features.category",
    ddl="as_of DATE, category STRING, feature_version STRING",
    keys=("as_of", "category"),
    writer="build-features",
    partition_by=("as_of",),
    open_ended=True,
)
FEATURES_USER_CATEGORY = Table(
    name="features.user_category",
    ddl="as_of DATE, user_id STRING, category STRING, feature_version STRING",
    keys=("as_of", "user_id", "category"),
    writer="build-features",
    partition_by=("as_of",),
    open_ended=True,
    properties=_bounds_of(2),
)
FEATURES_SEGMENT_CATEGORY = Table(
    name="features.segment_category",
    ddl="as_of DATE, segment STRING, category STRING, feature_version STRING",
    keys=("as_of", "segment", "category"),
    writer="build-features",
    partition_by=("as_of",),
    open_ended=True,
    about="written where a feature asks for it (features.groups); segment: that of features.user at as_of",
)
FEATURES_SHOP = Table(
    name="features.shop",
    ddl="as_of DATE, feature_version STRING",
    keys=("as_of",),
    writer="build-features",
    partition_by=("as_of",),
    open_ended=True,
)
FEATURES_SERIES = Table(
    name="features.series",
    ddl="as_of DATE, user_id STRING, feature_version STRING",
    keys=("as_of", "user_id"),
    writer="build-features",
    partition_by=("as_of",),
    open_ended=True,
    about="written where series are configured: what was known of each at as_of, in the user's region and campaigns",
)
FEATURE_DEFINITIONS = Table(
    name="features.definitions",
    ddl="entity STRING, name STRING, version STRING, unit STRING, description STRING, definition STRING, recorded_at TIMESTAMP",
    keys=("entity", "name", "version"),
    writer="build-features",
    about="what every feature ever written here means; a version keeps its definition for good",
)
TOTALS = Table(
    name="features.totals",
    ddl="as_of DATE, entity STRING, user_id STRING, product_id STRING, seen BIGINT, totals_version STRING, write_id STRING",
    keys=(),
    writer="totals",
    partition_by=("as_of",),
    open_ended=True,
    properties=_bounds_of(0),
    about="totals per user, product and pair: the first date holds all keys in parts, each later one what a pair's events of a "
    "day add (*_day) to all three, before any window; money and quantities in 1/10000, null for nothing; merged when read",
)
CANDIDATES = Table(
    name="trainset.candidates",
    ddl="as_of DATE, user_id STRING, product_id STRING, candidate_source STRING, together_score FLOAT, als_score FLOAT, "
    "affinity FLOAT, following_score FLOAT, peers_score FLOAT, label INT, weight DOUBLE",
    keys=("as_of", "user_id", "product_id"),
    writer="build-features",
    partition_by=("as_of",),
    open_ended=True,
    properties=_bounds_of(2),
    about="the pairs worth scoring; candidate_source joins its sources by '+' (trainset.sources); label "
    "is null until the horizon has passed; weight: how many candidate pairs a row stands for (1 / rate for a sampled negative)",
)

AUDIT = Table(
    name="trainset.audit",
    ddl="as_of DATE, feature STRING, finding STRING, place STRING, value DOUBLE, verdict STRING, allowed BOOLEAN, says STRING, "
    "audited_at TIMESTAMP",
    keys=("as_of", "feature", "finding", "place"),
    writer="audit",
    partition_by=("as_of",),
    about="finding: coverage (share), constant (levels), auc and missing (two-sided AUC), drift (PSI), boundary (share of rows "
    "that differ); place: the rows looked at; verdict: ok, look, leak or unknown (then value is null); allowed: by audit.allow",
)

PROPENSITY = Table(
    name="gold.propensity",
    ddl="as_of DATE, user_id STRING, product_id STRING, horizon_days INT, propensity DOUBLE, "
    "propensity_low DOUBLE, propensity_high DOUBLE, ranking_score DOUBLE, rank INT, "
    "expected_value DOUBLE, candidate_source STRING, model_name STRING, model_version STRING, "
    "feature_version STRING, run_id STRING, scored_at TIMESTAMP",
    keys=("as_of", "user_id", "product_id"),
    writer="score",
    partition_by=("as_of",),
    about="the product: the calibrated probability that the user buys the product within "
    "[as_of, as_of + horizon_days); propensity_low, propensity_high: where 90 % (calibration.interval) of samples of the "
    "calibration's users put the level of such a score (null: not calibrated, or on too little); rank 1 is the user's best by "
    "ranking_score, which compares products of one user only; expected_value = propensity x the mean price paid before as_of",
)
COLD_START = Table(
    name="gold.cold_start",
    ddl="as_of DATE, history STRING, segment STRING, product_id STRING, horizon_days INT, propensity DOUBLE, rank INT, "
    "level STRING, users BIGINT, purchases BIGINT, given STRING, reason STRING",
    keys=("as_of", "history", "segment", "product_id"),
    writer="score",
    partition_by=("as_of",),
    about="the probability that a user who is not scored buys the product within [as_of, as_of + horizon_days); history: none "
    "(never ordered), new (nor known for cold_start.new_days) or old (ordered, mostly not lately); segment: by "
    "features.segment_by, else all; level: which carries most of the estimate: segment, overall (the product in all segments) or "
    "category; users and purchases: what that level counted, over the training dates, new and none together (of the other users, "
    "where none of the history were counted); given: being known, "
    "or a first order where users cannot be counted before they order",
)
COLD_USERS = Table(
    name="gold.cold_users",
    ddl="as_of DATE, user_id STRING, history STRING, segment STRING",
    keys=("as_of", "user_id"),
    writer="score",
    partition_by=("as_of",),
    about="the users known at as_of, of whom population.where holds, who are not in gold.propensity, and where their rows of "
    "gold.cold_start are",
)
METRICS = Table(
    name="gold.metrics",
    ddl="as_of DATE, period STRING, scorer STRING, metric STRING, value DOUBLE, run_id STRING",
    keys=("as_of", "period", "scorer", "metric"),
    writer="train",
    partition_by=("as_of",),
    about="period is test (an as-of date of its own) or backtest (the labels of as_of itself); value null: unknown, not zero",
)

METRIC_SLICES = Table(
    name="gold.metric_slices",
    ddl="as_of DATE, period STRING, scorer STRING, sliced_by STRING, slice STRING, metric STRING, value DOUBLE, run_id STRING",
    keys=("as_of", "period", "scorer", "sliced_by", "slice", "metric"),
    writer="train",
    partition_by=("as_of",),
    about="gold.metrics of the champion and of own_popular by slice: sliced_by is exists, activity, users, products, category or "
    "segment; lists are judged by slices of users only",
)

CANDIDATE_SOURCES = Table(
    name="gold.candidate_sources",
    ddl="as_of DATE, source STRING, pairs BIGINT, pairs_alone BIGINT, purchases BIGINT, purchases_alone BIGINT, covered DOUBLE, "
    "covered_alone DOUBLE, run_id STRING",
    keys=("as_of", "source"),
    writer="train",
    partition_by=("as_of",),
    about="what each source of candidates brings and costs at a judged date, source `all`: all together; alone: what no "
    "other source has; covered: its share of the distinct pairs that the scored users bought, null where they bought nothing",
)

FEATURE_GAINS = Table(
    name="gold.feature_gains",
    ddl="as_of DATE, test_as_of DATE, place INT, feature_set STRING, features INT, pr_auc DOUBLE, log_loss DOUBLE, "
    "roc_auc DOUBLE, recall_at_10 DOUBLE, ndcg_at_10 DOUBLE, ece DOUBLE, pr_auc_gain DOUBLE, pr_auc_gain_low DOUBLE, "
    "pr_auc_gain_high DOUBLE, ndcg_gain DOUBLE, ndcg_gain_low DOUBLE, ndcg_gain_high DOUBLE, fit_seconds DOUBLE, "
    "problem STRING, feature_version STRING",
    keys=("as_of", "feature_set"),
    writer="groups",
    partition_by=("as_of",),
    about="what each group of features brings, on the test date of as_of's rehearsal: `first`, `first + <group>` and `all`; "
    "gains are against `first`, with the interval of 95 % over users drawn with replacement; place: the order of the rows; "
    "problem: why a set has no figures",
)
FAMILY_TRIALS = Table(
    name="gold.family_trials",
    ddl="as_of DATE, test_as_of DATE, place INT, family STRING, roc_auc DOUBLE, pr_auc DOUBLE, log_loss DOUBLE, ece DOUBLE, "
    "predicted_over_observed DOUBLE, recall_at_10 DOUBLE, ndcg_at_10 DOUBLE, fit_seconds DOUBLE, peak_gib DOUBLE, problem STRING, "
    "feature_version STRING",
    keys=("as_of", "family"),
    writer="families",
    partition_by=("as_of",),
    about="what each model family reaches, on the test date of as_of's rehearsal, and the baselines beside; place: the order of "
    "the rows; peak_gib: resident memory of the driver's process and its children while it was fitted (null: unknown, or nothing "
    "to fit); problem: why a family has no figures",
)
IMBALANCE_TRIALS = Table(
    name="gold.imbalance_trials",
    ddl="as_of DATE, test_as_of DATE, place INT, method STRING, odds DOUBLE, roc_auc DOUBLE, pr_auc DOUBLE, log_loss DOUBLE, "
    "ece_corrected DOUBLE, ece DOUBLE, predicted_over_observed_corrected DOUBLE, predicted_over_observed DOUBLE, "
    "fit_seconds DOUBLE, problem STRING, feature_version STRING",
    keys=("as_of", "method"),
    writer="imbalance",
    partition_by=("as_of",),
    about="what the champion reaches with each way of balancing its training rows, on the test date of as_of's rehearsal; odds: "
    "how many times as high sampling and balancing made them; _corrected: with that undone, before calibration; place: the order "
    "of the rows; problem: why a way has no figures",
)
COLD_TRIALS = Table(
    name="gold.cold_trials",
    ddl="as_of DATE, test_as_of DATE, place INT, history STRING, held_out STRING, scorer STRING, rows BIGINT, positives BIGINT, "
    "roc_auc DOUBLE, log_loss DOUBLE, ece DOUBLE, predicted_over_observed DOUBLE, recall_at_10 DOUBLE, given STRING",
    keys=("as_of", "history", "held_out", "scorer"),
    writer="cold-start",
    partition_by=("as_of",),
    about="how good gold.cold_start is for users and products of whom it has learnt nothing (held_out: users, products, both), on "
    "the test date of as_of's rehearsal; scorer: cold, product (the same without segments) or constant",
)

TABLES = {
    table.name: table
    for table in (
        EVENTS,
        EVENTS_REJECTED,
        PRODUCTS,
        USERS,
        USER_VERSIONS,
        PRODUCT_VERSIONS,
        SERIES,
        SERIES_MEMBERS,
        INTAKE,
        FEATURE_DEFINITIONS,
        FEATURES_USER,
        FEATURES_PRODUCT,
        FEATURES_PAIR,
        FEATURES_USER_CATEGORY,
        FEATURES_CATEGORY,
        FEATURES_SEGMENT_CATEGORY,
        FEATURES_SHOP,
        FEATURES_SERIES,
        TOTALS,
        CANDIDATES,
        AUDIT,
        PROPENSITY,
        COLD_START,
        COLD_USERS,
        METRICS,
        METRIC_SLICES,
        CANDIDATE_SOURCES,
        FEATURE_GAINS,
        FAMILY_TRIALS,
        IMBALANCE_TRIALS,
        COLD_TRIALS,
    )
}
