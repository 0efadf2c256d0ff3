"""Every deliberate failure: a type, a stable code, the place and the remedy.

A PropensityError is the user's to mend (exit code 2, one line); anything else is a bug (exit code 1, a trace).
"""

from collections.abc import Iterable
from datetime import date


class PropensityError(Exception):
    """Root of the failures that a user can mend. `code` is stable and may be matched on."""

    code = "propensity"


class ConfigError(PropensityError, ValueError):
    """The YAML or a --set says something that cannot be meant; raised before Spark starts."""

    code = "config"


class SourceError(PropensityError):
    """A source cannot be read as the configuration describes it."""

    code = "source"


class MissingColumns(PropensityError, ValueError):
    """A table or file lacks columns that a stage needs."""

    code = "missing_columns"

    def __init__(self, table: str, missing: Iterable[str], found: Iterable[str], remedy: str = "") -> None:
        hint = remedy or "Rerun the job that writes it."
        super().__init__(f"{table} lacks {sorted(missing)}; it has {sorted(found)}. {hint}")


class SchemaMismatch(PropensityError, ValueError):
    """A frame about to be written does not fit its table's contract."""

    code = "schema_mismatch"


class DefinitionChanged(PropensityError, ValueError):
    """A feature means something else than the tables hold under its name and version."""

    code = "definition_changed"


class TableMissing(PropensityError, LookupError):
    """A table that an earlier job writes is not there."""

    code = "table_missing"

    def __init__(self, table: str, writer: str) -> None:
        super().__init__(
            f"table {table} does not exist yet. Run `propensity {writer}` first, or `propensity run`, which does all in order."
        )


class ModelMissing(TableMissing):
    """MLflow holds no finished training of the shop, or none for the date and horizon."""

    code = "model_missing"

    def __init__(self, what: str) -> None:
        told = f"nothing was trained yet for {what}. Run `propensity train` first, or `propensity run`, which does all in order."
        PropensityError.__init__(self, told)


class TablesStale(PropensityError, LookupError):
    """Tables that an earlier job writes are there, but of other dates, settings or data than those asked for."""

    code = "tables_stale"

    def __init__(self, names: Iterable[str], differs: Iterable[str], as_of: date) -> None:
        super().__init__(
            f"{', '.join(names)}: last written for other {', '.join(differs)} than this run as of {as_of} has. "
            f"Run `propensity build-features --as-of {as_of}` first, or `propensity run`, which does everything in order."
        )


class QueryError(PropensityError, ValueError):
    """A query of the user's that cannot be answered as it stands."""

    code = "sql"


class StorageError(PropensityError, OSError):
    """The warehouse cannot be written, or the catalog is none of the session's."""

    code = "storage"


class InsufficientData(PropensityError):
    """The data cannot carry a model: nothing is scored rather than junk."""

    code = "insufficient_data"


class NotPromoted(PropensityError):
    """A model does worse than what a shop has without one: it is logged, and nothing is scored with it."""

    code = "not_promoted"


class SetupError(PropensityError):
    """Java, the jars or a package that the chosen feature needs are not there."""

    code = "setup"


class LeakSuspected(PropensityError):
    """A feature knows what it is to predict: nothing is trained on it."""

    code = "leak_suspected"


class TrainingFailed(PropensityError, RuntimeError):
    """A fit ended without a usable model, or did not end within its limit."""

    code = "training_failed"


class RowsLost(PropensityError, RuntimeError):
    """The rows that are learnt from are gone with an executor: no fit can be made of them any more."""

    code = "rows_lost"


class FitRefused(TrainingFailed):
    """A setting asks a fit for what this cluster or these rows have not: it did not begin, and another family would hide that."""


class NothingLearnt(TrainingFailed):
    """The rows tell a fit nothing: it found nothing to split on."""
