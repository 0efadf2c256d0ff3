"""What the README tells a newcomer to type exists, and the table that it describes is the one that is written."""

import re
import shlex
from pathlib import Path

import pytest

from propensity_spark import cli, install
from propensity_spark.schemas import TABLES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"(?:\.venv/bin/|^\s*)propensity ([a-z].*?)(?:`|$)", README, flags=re.MULTILINE)


def test_there_are_commands_to_be_tried() -> None:
    assert {shlex.split(command)[0] for command in COMMANDS} >= {"init", "check", "run", "sql"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one_that_propensity_takes(command: str) -> None:
    cli._parser().parse_args(shlex.split(command))


def test_the_columns_of_the_score_table_are_those_of_its_contract() -> None:
    section = README.split("## The score table")[1].split("##")[0]
    rows = re.findall(r"^\| ([a-z_, ]+) \| ([A-Z]+) \|", section, flags=re.MULTILINE)
    told = {name: kind for names, kind in rows for name in names.split(", ")}
    written = (column.split() for column in TABLES["gold.propensity"].ddl.split(","))
    assert told == {name: kind for name, kind, *_ in written}


def test_every_file_that_it_names_is_there() -> None:
    named = set(re.findall(r"\b(?:conf|jobs|tests|notebooks)/[\w./]+\w", README))
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_make_target_that_it_names_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", README)) <= targets


def test_the_cluster_gets_the_packages_that_a_laptop_gets() -> None:
    packages = re.search(r"--packages (\S+)", README)
    assert packages is not None
    assert packages[1].split(",") == [":".join(wanted) for wanted in install._WANTED]


def test_every_link_within_it_leads_to_a_heading() -> None:
    headings = re.findall(r"^#+ (.+)$", README, flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    linked = re.findall(r"\]\(#([^)]+)\)", README)
    assert len(linked) > 10
    assert [link for link in linked if link not in anchors] == []
