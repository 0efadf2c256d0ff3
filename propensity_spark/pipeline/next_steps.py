"""What a run ends with: where the scores lie, and the command that shows the best of them."""

import shlex
import shutil
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from propensity_spark.config import StorageConfig

_BEST = "SELECT user_id, rank, product_id, name, propensity FROM gold.top_products ORDER BY propensity DESC"  # of the newest date
_BEST_OF = (
    "SELECT user_id, rank, product_id, name, propensity FROM gold.propensity LEFT JOIN silver.products USING (product_id) "
    "WHERE as_of = DATE'{as_of}' ORDER BY propensity DESC"
)


def place(storage: StorageConfig, table: str) -> str:
    """Where a table is found: by its name in the catalog where there is one, else in its folder."""
    return f"{storage.catalog}.{table}" if storage.catalog else f"{storage.warehouse}/{table.replace('.', '/')}"


def program(name: str) -> str:
    """How a person calls a program of this environment from here: by name where the shell finds it, else by its path."""
    file = Path(sys.executable).parent / name
    if shutil.which(name) == str(file):
        return name
    return str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file)


def best_scores(files: Sequence[str], settings: Sequence[str] = (), as_of: date | None = None) -> str:
    """The command that shows the highest scores of the shop that `files` and `settings` configure, fit for a shell.

    Those of the newest date, or of `as_of`.
    """
    query = _BEST_OF.format(as_of=as_of) if as_of else _BEST
    same = [word for file in files for word in ("--config", file)] + [word for value in settings for word in ("--set", value)]
    return f'{program("propensity")} sql "{query}" {shlex.join(same)}'.rstrip()
