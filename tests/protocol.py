"""Judge the scores of Online Retail from the shop's raw files, without Spark and without any code of the package.

Usage: python tests/protocol.py WAREHOUSE [AS_OF]
Who bought within 180 days before as_of is ranked; recall@10 and NDCG@10 are means over those of them who buy within 28 days,
against everything that they buy, candidate or not; calibration is measured on all scored pairs, in twenty bins of equal size.
The baseline is the user's own frequency in the whole history, ties and gaps by recent popularity.
"""

import os
import sys
from pathlib import Path

import deltalake
import numpy as np
import pandas as pd

_BINS, _TOP = 20, 10


def purchases() -> pd.DataFrame:
    """Raw order lines that are sales to a known user: user, item, time."""
    folder = Path(os.environ.get("PROPENSITY_DATA") or "../shared/data") / "online_retail" / "by-day"
    raw = pd.concat([pd.read_csv(file, dtype=str) for file in sorted(folder.glob("*.csv.gz"))])
    sold = ~raw["InvoiceNo"].str.startswith("C") & (raw["Quantity"].astype(float) > 0) & (raw["UnitPrice"].astype(float) > 0)
    kept = raw[sold & raw["CustomerID"].notna()]
    users = kept["CustomerID"].str.replace(r"\.0$", "", regex=True)
    when = pd.to_datetime(kept["InvoiceDate"])
    return pd.DataFrame({"user": users, "item": kept["StockCode"], "time": when, "order": kept["InvoiceNo"]})


def baseline(past: pd.DataFrame, day: pd.Timestamp, users: pd.Index) -> pd.DataFrame:
    """The ten products that a user ordered most often, ties and gaps by the buyers of the last 28 days."""
    popular = (
        past[past["time"] >= day - pd.Timedelta(days=28)]
        .groupby("item")["user"]
        .nunique()
        .sort_values(ascending=False, kind="stable")
    )
    own = past[past["user"].isin(users)].groupby(["user", "item"])["order"].nunique().rename("orders").reset_index()
    own["buyers"] = own["item"].map(popular).fillna(0)
    mine = own.sort_values(["orders", "buyers", "item"], ascending=[False, False, True]).groupby("user")["item"].agg(list)
    rows = []
    for user in users:
        had = mine.get(user, [])
        gaps = popular.index.difference(had, sort=False)[:_TOP]
        rows += [(user, item, rank) for rank, item in enumerate([*had, *gaps][:_TOP], start=1)]
    return pd.DataFrame(rows, columns=["user_id", "product_id", "rank"])


def ranking(scores: pd.DataFrame, bought: pd.Series) -> dict[str, float]:
    """Recall, NDCG and hit rate of the first ten, over the users in `bought` (user -> set of items)."""
    first = scores[scores["rank"] <= _TOP].sort_values("rank").groupby("user_id")["product_id"].agg(list)
    discount = 1 / np.log2(np.arange(2, _TOP + 2))
    rows = []
    for user, items in bought.items():
        hits = np.array([item in items for item in first.get(user, [])], dtype=float)
        ideal = discount[: min(len(items), _TOP)].sum()
        rows.append((hits.sum() / len(items), (hits * discount[: len(hits)]).sum() / ideal, hits.any()))
    return dict(zip(("recall@10", "NDCG@10", "hit rate"), np.mean(rows, axis=0), strict=True))


def calibration(p: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Expected calibration error, and the mean prediction over the observed rate."""
    bins = np.array_split(np.argsort(p, kind="stable"), _BINS)
    error = sum(len(rows) * abs(p[rows].mean() - y[rows].mean()) for rows in bins) / len(p)
    return {"ECE": error, "predicted/observed": p.mean() / y.mean()}


def main(warehouse: str, as_of: str) -> None:
    """Print the figures."""
    lines, day = purchases(), pd.Timestamp(as_of)
    past = lines[(lines["time"] < day) & (lines["time"] >= day - pd.Timedelta(days=180))]
    ahead = lines[(lines["time"] >= day) & (lines["time"] < day + pd.Timedelta(days=28)) & lines["user"].isin(past["user"])]
    bought = ahead.groupby("user")["item"].agg(set)
    scores = deltalake.DeltaTable(f"{warehouse}/gold/propensity").to_pandas(filters=[("as_of", "=", day.date())])
    pairs = pd.MultiIndex.from_frame(ahead[["user", "item"]].drop_duplicates())
    y = pd.MultiIndex.from_frame(scores[["user_id", "product_id"]]).isin(pairs)
    figures = {**ranking(scores, bought), **calibration(scores["propensity"].to_numpy(), y), "coverage": y.sum() / len(pairs)}
    print(
        f"as of {as_of}: {past['user'].nunique()} users, {len(bought)} of them buy {len(pairs)} pairs; {len(scores)} pairs scored"
    )
    own = ranking(baseline(lines[lines["time"] < day], day, bought.index), bought)
    print(f"  {'':20s}{'scores':>8s}{'baseline':>10s}")
    for name, value in figures.items():
        print(f"  {name:20s}{value:8.4f}{own[name]:10.4f}" if name in own else f"  {name:20s}{value:8.4f}")


if __name__ == "__main__":
    main(sys.argv[1], *(sys.argv[2:] or ["2011-11-11"]))
