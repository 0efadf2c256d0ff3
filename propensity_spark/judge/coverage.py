"""What each source of candidates brings and costs: pairs, purchases among them, and how many of both no other source has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

ALL = "all"


@dataclass(frozen=True, slots=True)
class Source:
    """One source at one matured date, or all of them together.

    `pairs` and `purchases` that it has, `alone`: that no other source has; `covered`: its share of all that the scored users
    bought, candidates or not; None where they bought nothing.
    """

    name: str
    pairs: int
    pairs_alone: int
    purchases: int
    purchases_alone: int
    covered: float | None
    covered_alone: float | None


def by_source(rows: DataFrame, bought: int) -> list[Source]:
    """Count the sources of one date, the one that covers most first, all together at the top.

    Takes   candidate_source STRING (joined by '+') and label of all candidates; `bought`: the distinct pairs that the scored
            users bought.
    """
    sets = rows.groupBy("candidate_source").agg(F.count(F.lit(1)).alias("pairs"), F.sum("label").alias("purchases")).collect()
    counts = {tuple(str(row["candidate_source"]).split("+")): (int(row["pairs"]), int(row["purchases"] or 0)) for row in sets}
    names = sorted({name for members in counts for name in members})
    made = [_counted(name, counts, bought) for name in names]
    return [_whole(counts, bought), *sorted(made, key=lambda source: (-source.purchases, source.name))]


def _counted(name: str, counts: Mapping[tuple[str, ...], tuple[int, int]], bought: int) -> Source:
    mine = [count for members, count in counts.items() if name in members]
    alone = [count for members, count in counts.items() if members == (name,)]
    return _source(name, mine, alone, bought)


def _whole(counts: Mapping[tuple[str, ...], tuple[int, int]], bought: int) -> Source:
    return _source(ALL, list(counts.values()), list(counts.values()), bought)


def _source(name: str, mine: Sequence[tuple[int, int]], alone: Sequence[tuple[int, int]], bought: int) -> Source:
    pairs, purchases = (sum(count[place] for count in mine) for place in (0, 1))
    pairs_alone, purchases_alone = (sum(count[place] for count in alone) for place in (0, 1))
    covered, covered_alone = (part / bought if bought else None for part in (purchases, purchases_alone))
    return Source(name, pairs, pairs_alone, purchases, purchases_alone, covered, covered_alone)
