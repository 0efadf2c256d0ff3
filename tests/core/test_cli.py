"""The command: exit code 0 done, 2 a mistake told in one line, 1 a bug with its trace."""

import argparse
import shlex
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from propensity_spark import cli
from propensity_spark.config import Config, StorageConfig
from propensity_spark.errors import InsufficientData, PropensityError
from propensity_spark.pipeline import next_steps


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[argparse.Namespace], int | None]], None]:
    """command(what): `propensity ingest` does `what` instead."""

    def install(what: Callable[[argparse.Namespace], int | None]) -> None:
        monkeypatch.setitem(cli._COMMANDS, "ingest", (what, "about"))

    return install


def _raising(problem: BaseException) -> Callable[[argparse.Namespace], int | None]:
    def fail(asked: argparse.Namespace) -> int | None:
        raise problem

    return fail


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A configuration whose one source is in order."""
    (tmp_path / "log.csv").write_text("u,p,t\nann,mug,2024-03-01\n")
    file = tmp_path / "shop.yaml"
    columns = "map: {user_id: u, product_id: p, event_ts: t}"
    file.write_text(f"sources: [{{name: log, path: {tmp_path}/log.csv, event: purchase, {columns}}}]")
    return file


def test_a_command_that_ends_well_exits_with_0(command: Callable[..., None]) -> None:
    command(lambda asked: None)
    assert cli.main(["ingest"]) == 0


def test_a_command_may_choose_its_exit_code(command: Callable[..., None]) -> None:
    command(lambda asked: 2)
    assert cli.main(["ingest"]) == 2


@pytest.mark.parametrize("problem", [PropensityError("no"), InsufficientData("too little")])
def test_a_mistake_exits_with_2_and_one_line(
    command: Callable[..., None], capsys: pytest.CaptureFixture[str], problem: PropensityError
) -> None:
    command(_raising(problem))
    assert cli.main(["ingest"]) == 2
    said = capsys.readouterr()
    assert said.err == f"propensity: {problem.code}: {problem}\n"
    assert said.out == ""


def test_a_bug_exits_with_1_and_prints_its_trace(command: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    command(_raising(ZeroDivisionError("oh")))
    assert cli.main(["ingest"]) == 1
    said = capsys.readouterr().err
    assert "Traceback (most recent call last)" in said
    assert "ZeroDivisionError: oh" in said
    assert "this is a bug" in said.splitlines()[-1]


def test_an_interruption_exits_with_130_and_a_closed_pipe_with_0(
    command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    command(_raising(KeyboardInterrupt()))
    assert cli.main(["ingest"]) == 130
    assert "interrupted" in capsys.readouterr().err
    command(_raising(BrokenPipeError()))
    assert cli.main(["ingest"]) == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "which shop? Give --config"),
        (["--config", "nowhere.yaml"], "nowhere.yaml does not exist"),
        (["--config", "SHOP", "--set", "labels.horizon_days"], "--set wants section.key=value"),
        (["--config", "SHOP", "--set", "labels.horizon_days=[1"], "labels.horizon_days"),
        (["--config", "SHOP", "--set", "labels.horizn_days=1"], "did you mean 'horizon_days'?"),
        (["--config", "SHOP", "--set", "labels.horizon_days=0"], "must be in [1, 730], got 0"),
        (["--config", "SHOP", "--as-of", "1 March"], "--as-of must be a date such as 2024-03-01, got '1 March'"),
    ],
)
def test_a_mistake_in_the_arguments_is_one_line(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    monkeypatch.delenv("PROPENSITY_CONFIG", raising=False)
    assert cli.main(["check", *(str(shop) if a == "SHOP" else a for a in arguments)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("propensity: config: ")
    assert told in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("rows", ["0", "-5"])
def test_no_row_at_all_is_no_answer(shop: Path, capsys: pytest.CaptureFixture[str], rows: str) -> None:
    assert cli.main(["sql", "SELECT 1", "--config", str(shop), "--rows", rows]) == 2
    assert capsys.readouterr().err == f"propensity: config: --rows must be at least 1, got {rows}\n"


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run", "--wings"], ["sql"]])
def test_an_unknown_command_or_argument_exits_with_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    assert "usage: propensity" in capsys.readouterr().err


def test_the_version_and_the_help_exit_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    for argument in ("--version", "--help"):
        with pytest.raises(SystemExit) as end:
            cli.main([argument])
        assert end.value.code == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("propensity_spark", *cli._COMMANDS))


def test_check_says_that_nothing_is_wrong_or_every_problem(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--config", str(shop)]) == 0
    doubt, verdict = capsys.readouterr().out.splitlines()
    assert doubt.startswith("perhaps not meant: shop.time_zone is UTC"), "a doubt keeps no run from starting"
    assert verdict.startswith("nothing wrong found")
    (shop.parent / "log.csv").write_text("user,p\n")
    assert cli.main(["check", "--config", str(shop)]) == 2
    said = capsys.readouterr().out
    assert "has no column 'u'" in said
    assert "has no column 't'" in said
    assert said.splitlines()[-1] == "2 problem(s)"


def _in_force(*arguments: str) -> Config:
    return cli._config(cli._parser().parse_args(["run", *arguments]))


def test_files_settings_and_the_date_win_in_this_order(shop: Path) -> None:
    later = shop.with_name("later.yaml")
    later.write_text("labels: {horizon_days: 3}\ntrain: {dates: 9}\nscore: {as_of: 2024-01-01}\n")
    settings = ["--set", "labels.horizon_days=4", "--set", "score.as_of=2024-02-01"]
    config = _in_force("--config", str(shop), "--config", str(later), *settings, "--as-of", "2024-03-01")
    assert (config.labels.horizon_days, config.train.dates, config.score.as_of) == (4, 9, date(2024, 3, 1))
    assert config.sources[0].name == "log"


def test_without_config_the_environment_names_the_files(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later = tmp_path / "later.yaml"
    later.write_text("labels: {horizon_days: 3}\n")
    monkeypatch.setenv("PROPENSITY_CONFIG", f"{shop}:{later}")
    assert (_in_force().labels.horizon_days, _in_force().sources[0].name) == (3, "log")
    monkeypatch.setenv("PROPENSITY_CONFIG", "nowhere.yaml")
    assert _in_force("--config", str(shop)).labels.horizon_days == 28


def test_further_shops_have_their_own_dates_and_share_what_is_set_but_for_their_tables(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from propensity_spark.pipeline import run

    asked: list[tuple[Config, str, list[Config]]] = []
    monkeypatch.setattr(run, "compare_families", lambda *said: asked.append(said))
    other = tmp_path / "other.yaml"
    other.write_text(shop.read_text() + "\nstorage: {warehouse: elsewhere}")
    sets = ["--set", "storage.warehouse=here", "--set", "models.lightgbm.rounds=7"]
    further = ["--and", f"{other}@2024-03-01", "--and", str(other)]
    assert cli.main(["families", "--config", str(shop), "--as-of", "2024-04-01", *sets, *further]) == 0
    first, names, (dated, free) = asked[0]
    assert (first.score.as_of, first.storage.warehouse, names) == (date(2024, 4, 1), "here", "")
    assert (dated.score.as_of, free.score.as_of, free.storage.warehouse) == (date(2024, 3, 1), None, "elsewhere")
    assert {config.models.lightgbm.rounds for config in (first, dated, free)} == {7}
    assert cli.main(["families", "--config", str(shop), "--and", f"{other}@soon"]) == 2


@pytest.mark.parametrize("day", ["", "2024-03-01"])
def test_a_further_shop_may_lie_in_a_folder_with_an_at_sign(shop: Path, tmp_path: Path, day: str) -> None:
    folder = tmp_path / "me@home"
    folder.mkdir()
    named = str(shop.rename(folder / "shop.yaml"))
    asked = cli._further(f"{named}@{day}" if day else named, [])
    assert (asked.sources[0].name, str(asked.score.as_of or "")) == ("log", day)


def test_a_run_ends_with_the_command_that_shows_its_scores(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("propensity_spark.pipeline.run.everything", lambda config: None)
    assert cli.main(["run", "--config", str(shop), "--set", "storage.warehouse=/my stock"]) == cli.DONE
    place, told = capsys.readouterr().out.splitlines()
    assert place == "scores in /my stock/gold/propensity; the best:"
    asked = cli._parser().parse_args(shlex.split(told)[1:])
    assert (asked.command, asked.config, asked.set) == ("sql", [str(shop)], ["storage.warehouse=/my stock"])
    assert "product_id, name, propensity FROM gold.top_products" in asked.query


def test_the_command_at_a_runs_end_can_be_called_from_where_the_run_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bins = tmp_path / "env" / "bin"
    monkeypatch.setattr("sys.executable", str(bins / "python"))
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert next_steps.best_scores(["a shop.yaml"]).startswith(f'{bins}/propensity sql "SELECT ')
    monkeypatch.chdir(tmp_path)
    assert next_steps.best_scores(["a shop.yaml"]).startswith('env/bin/propensity sql "SELECT ')
    monkeypatch.setattr("shutil.which", lambda name: str(bins / name))
    assert next_steps.best_scores(["a shop.yaml"]).startswith('propensity sql "SELECT ')
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert next_steps.best_scores(["a shop.yaml"]).startswith("env/bin/"), "another installation's is not ours"


def test_a_run_of_a_date_ends_with_the_scores_of_that_date() -> None:
    assert "gold.top_products" in next_steps.best_scores(["s.yaml"])
    told = next_steps.best_scores(["s.yaml"], (), date(2024, 3, 1))
    assert "FROM gold.propensity" in told
    assert "WHERE as_of = DATE'2024-03-01'" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--out", "there"], "--out says where the totals of a spine go"),
        (["--spine", "s.csv", "--out", "o", "--since", "2024-03-01"], "--spine brings its own moments"),
        (["--spine", "s.csv", "--out", "o", "--as-of", "2024-03-01"], "--spine brings its own moments"),
    ],
)
def test_arguments_of_totals_that_would_be_ignored_are_refused(
    shop: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert cli.main(["totals", "--config", str(shop), *arguments]) == 2
    assert told in capsys.readouterr().err


def test_a_table_is_where_the_catalog_or_the_warehouse_has_it() -> None:
    assert next_steps.place(StorageConfig(warehouse="here"), "gold.propensity") == "here/gold/propensity"
    assert next_steps.place(StorageConfig(catalog="main"), "gold.propensity") == "main.gold.propensity"
