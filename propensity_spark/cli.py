"""The command `propensity`: arguments, exit codes, and the order of start-up: configuration, sources, then Spark.

Exit codes: 0 done, 2 a mistake of the user's (one clear line), 1 a bug (its trace).
"""

import argparse
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import date

from propensity_spark import __version__, loading
from propensity_spark.config import Config
from propensity_spark.errors import ConfigError, PropensityError

DONE, BUG, MISTAKE, INTERRUPTED = 0, 1, 2, 130
_ABOUT = "Calibrated purchase propensities, from a shop's own logs to a score table."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    asked = _parser().parse_args(arguments)
    return guarded(lambda: _COMMANDS[asked.command][0](asked))


def guarded(work: Callable[[], int | None]) -> int:
    """Do the work and return the exit code: mistakes of the user's as one line, bugs with their trace."""
    try:
        return work() or DONE
    except PropensityError as mistake:
        print(f"propensity: {mistake.code}: {' '.join(str(mistake).split())}", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        print("propensity: interrupted; tables are as before or as after, never between", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        return DONE
    except Exception:
        traceback.print_exc()
        print("propensity: this is a bug of propensity_spark; please report the trace above", file=sys.stderr)
        return BUG


def _run(asked: argparse.Namespace) -> None:
    from propensity_spark.pipeline import next_steps, run

    config = _config(asked)
    run.everything(config)
    print(f"scores in {next_steps.place(config.storage, 'gold.propensity')}; the best:")
    print(f"  {next_steps.best_scores(_files(asked), asked.set, config.score.as_of)}")


def _stage(name: str) -> Callable[[argparse.Namespace], None]:
    def command(asked: argparse.Namespace) -> None:
        from propensity_spark.pipeline import run

        run.one(name, _config(asked))

    return command


def _check(asked: argparse.Namespace) -> int:
    from propensity_spark.ingest import doubts, preflight

    config = _config(asked)
    problems = preflight.problems(config)
    for problem in problems:
        print(problem)
    for doubt in doubts.doubts(config):
        print(f"perhaps not meant: {doubt}")
    print(f"{len(problems)} problem(s)" if problems else "nothing wrong found: `propensity run` may start")
    return MISTAKE if problems else DONE


def _init(asked: argparse.Namespace) -> int:
    from propensity_spark.pipeline import init

    return init.write(asked.samples, asked.name, asked.output)


def _simulate(asked: argparse.Namespace) -> None:
    from propensity_spark.pipeline import run

    run.simulate(_config(asked))


def _sql(asked: argparse.Namespace) -> None:
    from propensity_spark.pipeline import run

    if asked.rows < 1:
        raise ConfigError(f"--rows must be at least 1, got {asked.rows}")
    run.sql(_config(asked), asked.query, asked.rows)


def _features(asked: argparse.Namespace) -> None:
    from propensity_spark.pipeline import features

    print(features.command(_config(asked), asked.action, asked.name))


def _audit(asked: argparse.Namespace) -> int:
    from propensity_spark.pipeline import run

    report = run.audited(_config(asked))
    print(report.text)
    return MISTAKE if report.leaks else DONE


def _totals(asked: argparse.Namespace) -> None:
    from propensity_spark.pipeline import run

    since = _date(asked.since, "--since") if asked.since else None
    if asked.spine and (asked.since or asked.as_of):
        raise ConfigError("--spine brings its own moments: leave --since and --as-of out")
    if asked.out and not asked.spine:
        raise ConfigError("--out says where the totals of a spine go: give --spine FILE, or leave it out")
    run.totals_current(_config(asked), since, asked.spine, asked.out)


def _tune(asked: argparse.Namespace) -> None:
    from propensity_spark.pipeline import run

    run.tuned(_config(asked))


def _compare(asked: argparse.Namespace) -> None:
    from propensity_spark.pipeline import compare

    print(compare.compared(_config(asked), asked.runs))


def _groups(asked: argparse.Namespace) -> None:
    from propensity_spark.pipeline import run

    run.compare_groups(_config(asked))


def _imbalance(asked: argparse.Namespace) -> None:
    from propensity_spark.pipeline import run

    run.compare_balances(_config(asked))


def _families(asked: argparse.Namespace) -> None:
    from propensity_spark.pipeline import run

    others = [_further(named, asked.set) for named in asked.others]
    run.compare_families(_config(asked), asked.families, others)


def _cold_start(asked: argparse.Namespace) -> None:
    from propensity_spark.pipeline import run

    run.judge_cold_start(_config(asked))


Command = Callable[[argparse.Namespace], int | None]
_COMMANDS: dict[str, tuple[Command, str]] = {
    "run": (_run, "everything in order: ingest, build-features, train, score, report"),
    "ingest": (_stage("ingest"), "raw logs to bronze and silver tables"),
    "build-features": (_stage("build-features"), "features and candidate pairs of every date that a run needs"),
    "audit": (_audit, "look for features that know the label or the future; exit code 2 where one does"),
    "train": (_stage("train"), "fit, calibrate and test the models; log them to MLflow"),
    "score": (_stage("score"), "write gold.propensity with the latest model for the date"),
    "report": (_stage("report"), "write the HTML report"),
    "totals": (_totals, "bring the totals of users, products and pairs to a date, or look them up for moments of your own"),
    "tune": (_tune, "search a family's settings by time-based validation, within a budget; goes on where it was left"),
    "groups": (_groups, "fit and judge each group of features, to see what it brings"),
    "compare": (_compare, "training runs side by side: what was set differently, and what the test said"),
    "imbalance": (_imbalance, "fit and judge the champion with each way of balancing bought and not bought rows"),
    "families": (_families, "fit and judge each model family, to see which suits the shop"),
    "cold-start": (_cold_start, "judge the rates of users and products without history on some that were held out"),
    "sql": (_sql, "query the tables, e.g. propensity sql 'select * from gold.top_products limit 10' --config myshop.yaml"),
    "features": (_features, "list the declared features, describe one, or show what changed since they were built"),
    "check": (_check, "say what is wrong with a configuration and its sources before anything runs"),
    "init": (_init, "look at sample files and write a commented configuration for them"),
    "simulate": (_simulate, "write the logs of a simulated shop whose true propensities are known"),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="propensity", description=_ABOUT)
    parser.add_argument("--version", action="version", version=f"propensity_spark {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, (_, about) in _COMMANDS.items():
        one = commands.add_parser(name, help=about, description=about)
        _ARGUMENTS.get(name, _add_config)(one)
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", action="append", default=[], metavar="FILE", help="YAML; repeatable, later wins")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="one value; repeatable")
    parser.add_argument("--as-of", metavar="YYYY-MM-DD", help="the date to score; default: after the last full day")


def _add_sql(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("query")
    parser.add_argument("--rows", type=int, default=20, help="how many rows to print")
    _add_config(parser)


def _add_init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("samples", nargs="+", metavar="FILE", help="samples of the shop's logs and tables of users and products")
    parser.add_argument("--name", default="shop", help="the shop's name")
    parser.add_argument("--output", default="", metavar="FILE", help="where to write it; default: <name>.yaml")


def _add_features(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "describe", "diff"))
    parser.add_argument("name", nargs="?", default="", help="the feature to describe")
    _add_config(parser)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="*", metavar="RUN", help="ids of MLflow runs, or how they begin; default: the last five")
    _add_config(parser)


def _add_totals(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", metavar="YYYY-MM-DD", help="make every day from this one on (a backfill) instead of one")
    parser.add_argument("--spine", metavar="FILE", help="CSV or Parquet of user_id, product_id, moment: totals just before each")
    parser.add_argument("--out", metavar="FOLDER", default="", help="where the spine's totals go, as Parquet")
    _add_config(parser)


def _add_families(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--families", default="", metavar="NAME,NAME", help="which; default: all that are installed")
    also = "a further shop, and the date to judge it at; repeatable: all come into one table"
    parser.add_argument("--and", dest="others", action="append", default=[], metavar="FILE[@YYYY-MM-DD]", help=also)
    _add_config(parser)


_ARGUMENTS = {
    "compare": _add_compare,
    "families": _add_families,
    "totals": _add_totals,
    "sql": _add_sql,
    "init": _add_init,
    "features": _add_features,
}


def _files(asked: argparse.Namespace) -> list[str]:
    return list(asked.config or loading.named())


def _config(asked: argparse.Namespace) -> Config:
    """The configuration in force. Without --config, PROPENSITY_CONFIG names it (as a laptop's shell profile may)."""
    files = _files(asked)
    if not files:
        raise ConfigError(
            "which shop? Give --config conf/SHOP.yaml, or name it in PROPENSITY_CONFIG, or write one with `propensity init SAMPLE`."
        )
    settings = list(asked.set)
    if asked.as_of:
        settings.append(f"score.as_of={_date(asked.as_of)}")
    return loading.load(files, settings)


def _further(named: str, settings: Sequence[str]) -> Config:
    """The configuration of FILE or FILE@DATE; what --set says holds for it too, but for where its tables lie."""
    file, day = found.groups() if (found := re.fullmatch(r"(.+)@([^/\\]*)", named)) else (named, "")  # @ may be in a folder's name
    shared = [setting for setting in settings if not setting.startswith("storage.")]
    return loading.load([file], [*shared, *([f"score.as_of={_date(day, '--and FILE@DATE')}"] if day else [])])


def _date(text: str, option: str = "--as-of") -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option} must be a date such as 2024-03-01, got {text!r}") from None


if __name__ == "__main__":
    raise SystemExit(main())
