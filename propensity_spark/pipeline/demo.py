"""`make run`: simulate a shop once, run everything on it, and say where to look next."""

import sys
from pathlib import Path

from propensity_spark import cli, loading, session
from propensity_spark.config import Config
from propensity_spark.pipeline import next_steps, published, run
from propensity_spark.serve.printed import cell


def demo(file: str) -> None:
    """Simulate the shop of the configuration where its logs are not there yet, run it, print scores and places."""
    config = loading.load([file])
    if not (Path(config.simulator.output) / "catalogue" / "_SUCCESS").exists():  # written last
        run.simulate(config)
    as_of = run.everything(config)
    spark = session.start(config)
    best = published.best_of_one_user(spark, as_of, 10).toPandas()
    print(f"\nThe ten best scores of user {best['user_id'].iloc[0]}, as of {as_of}, {config.labels.horizon_days} days ahead:\n")
    print(best.drop(columns="user_id").to_string(index=False, float_format=cell))
    print(_next(config, file))


def _next(config: Config, file: str) -> str:
    store = config.tracking.resolved(config.storage)
    return f"""
Tables   {next_steps.place(config.storage, "<schema>.<table>")}, each a Delta table
Scores   {next_steps.place(config.storage, "gold.propensity")}
Report   {config.storage.report_path(config.shop.name)}
MLflow   {store}

Next:
  {next_steps.best_scores([file])}
  {next_steps.program("propensity")} init YOUR_LOG.csv --name myshop    # your own shop: writes myshop.yaml
  {next_steps.program("mlflow")} ui --backend-store-uri {store}
"""


if __name__ == "__main__":
    raise SystemExit(cli.guarded(lambda: demo(sys.argv[1] if len(sys.argv) > 1 else "conf/demo.yaml")))
