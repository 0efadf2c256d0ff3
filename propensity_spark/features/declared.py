"""Totals, declared: what is counted, summed, compared or dated of users, products and pairs, and in which windows."""

from collections.abc import Sequence
from dataclasses import dataclass

COMPARED = ("min", "max", "distinct", "sketch")  # they need to know which rows count, apart from what those hold
SKETCHED = 1024  # hashes that a sketch keeps: the smallest
ENTITIES: dict[str, tuple[str, ...]] = {"user": ("user_id",), "product": ("product_id",), "pair": ("user_id", "product_id")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """What is totalled: `op` of `value` (SQL over an event) where `where` holds, per window.

    Windows are days, half-open up to the moment; None is the whole past. `scale`: a value is kept in whole 1/scale, so that
    sums are exact in any order. `distinct` counts values; `sketch` counts them as well, exactly up to SKETCHED and to some
    3 % above, and merges; `decayed` halves a row's weight every `half_life_days` and has no
    window; `first` and `last` are when such a row happened, whatever became of it later.
    """

    name: str
    where: str = "true"
    value: str = "1"
    op: str = "sum"
    windows: tuple[int | None, ...] = (None,)
    scale: int = 1
    half_life_days: float = 0.0

    @property
    def columns(self) -> dict[str, int | None]:
        """Column -> window."""
        return {f"{self.name}_{'ever' if days is None else days}": days for days in self.windows}

    @property
    def change(self) -> str:
        """The column of what the events of a day add to it, before any window."""
        return f"{self.name}_day"

    @property
    def advances(self) -> bool:
        """Whether its value follows from the one before and from the rows that changed since."""
        return self.op in ("sum", "decayed") or (self.op in ("first", "last") and self.windows == (None,))

    @property
    def merges(self) -> bool:
        """Whether its values of two parts of the rows give that of all of them."""
        return self.op != "distinct"

    @property
    def kind(self) -> str:
        """The SQL type of its columns in a part; a sketch becomes a BIGINT where parts are merged."""
        if self.op in ("first", "last"):
            return "TIMESTAMP"
        return {"decayed": "DOUBLE", "sketch": "ARRAY<BIGINT>"}.get(self.op, "BIGINT")

    @property
    def hit(self) -> str:
        """Whether an event is one of those that count, as SQL: 1 or 0."""
        return f"CAST(IF(coalesce({self.where}, false) AND ({self.value}) IS NOT NULL, 1, 0) AS TINYINT)"

    @property
    def whole(self) -> str:
        """The whole number that an event adds, as SQL, as narrow as it can be: it travels to the task."""
        is_counted = (self.value, self.scale, self.op in COMPARED) == ("1", 1, False)
        if is_counted or self.op in ("first", "last"):
            return self.hit
        value = (
            f"xxhash64({self.value})"
            if self.op in ("distinct", "sketch")
            else f"CAST(round(({self.value}) * {self.scale}) AS BIGINT)"
        )
        return f"IF({self.hit} = 1, {value}, 0L)"


def inputs(declared: Sequence[Total]) -> dict[str, str]:
    """What the totals read of an event: SQL -> name. Totals that read the same share it."""
    read = [sql for total in declared for sql in ((total.whole, total.hit) if total.op in COMPARED else (total.whole,))]
    return {sql: f"in_{number}" for number, sql in enumerate(dict.fromkeys(read))}


def columns(declared: Sequence[Total]) -> str:
    """The totals' columns as DDL: sums and extremes in whole 1/scale, first and last in UTC; null where there is nothing."""
    return ", ".join(f"{column} {total.kind}" for total in declared for column in total.columns)


def schema(declared: Sequence[Total]) -> str:
    """A row of totals as DDL: user_id or product_id is null where the entity has none; `seen` counts the rows met."""
    return f"as_of DATE, entity STRING, user_id STRING, product_id STRING, seen BIGINT, {columns(declared)}"


def changes_schema(declared: Sequence[Total]) -> str:
    """A row of changes as DDL: what a pair's events of one `day` of the shop add to totals, whatever their entity and windows.

    leaving: they counted in the base, and end to count in each window as it leaves them behind; see `incremental.in_windows`.
    """
    added = ", ".join(f"{total.change} {total.kind}" for total in declared)
    return f"as_of DATE, entity STRING, user_id STRING, product_id STRING, day DATE, leaving BOOLEAN, seen BIGINT, {added}"
