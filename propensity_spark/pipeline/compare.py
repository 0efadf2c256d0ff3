"""The shop's training runs side by side: what was set differently, and what the test said of each champion."""

from collections.abc import Callable, Mapping, Sequence

from propensity_spark.config import Config
from propensity_spark.serve import registry
from propensity_spark.serve.registry import Finished

LAST = 5
# Figures by name ({k}: of lists of k), how they are printed, and how far from good a value is.
_Worse = Callable[[float], float]
_FIGURES: tuple[tuple[str, str, _Worse], ...] = (
    ("pr_auc", ".4f", lambda value: -value),
    ("roc_auc", ".4f", lambda value: -value),
    ("log_loss", ".5f", lambda value: value),
    ("brier", ".5f", lambda value: value),
    ("ece", ".5f", lambda value: value),
    ("predicted_over_observed", ".3f", lambda value: abs(value - 1)),
    ("recall_at_{k}", ".4f", lambda value: -value),
    ("ndcg_at_{k}", ".4f", lambda value: -value),
    ("map_at_{k}", ".4f", lambda value: -value),
    ("hit_rate_at_{k}", ".4f", lambda value: -value),
)


def compared(config: Config, wanted: Sequence[str]) -> str:
    """The runs of these ids, or the last ones, as a table for people, the oldest first.

    Raises ModelMissing where the shop has no finished run, PropensityError where one of the ids is none of them.
    """
    return told(registry.finished(config, wanted, LAST))


def told(runs: Sequence[Finished]) -> str:
    """A column per run; the best value of a row has a star, and says nothing where the runs were tested on different dates."""
    head = [("run", [run.run_id[:12] for run in runs]), ("trained at", [f"{run.started:%Y-%m-%d %H:%M}" for run in runs])]
    facts = [("as of", [run.as_of for run in runs]), ("champion", [run.champion for run in runs])]
    facts += [("promoted", ["yes" if run.promoted else "no" for run in runs])]
    blocks = [[*head, *facts], _differing(runs), _figures(runs)]
    names = max(len(name) for block in blocks for name, _ in block)
    widths = [max(len(values[at]) for block in blocks for _, values in block) for at in range(len(runs))]
    lines = []
    for block in blocks:
        lines += [_line(name, values, names, widths) for name, values in block] + ([""] if block else [])
    return "\n".join([*lines, *_remarks(runs)])


def _line(name: str, values: Sequence[str], names: int, widths: Sequence[int]) -> str:
    return "  ".join([f"{name:<{names}}", *(f"{value:<{width}}" for value, width in zip(values, widths, strict=True))]).rstrip()


def _differing(runs: Sequence[Finished]) -> list[tuple[str, list[str]]]:
    """The settings that are not the same in all runs; one that a run has not is older than the setting."""
    keys = sorted({key for run in runs for key in run.settings})
    rows = [(key, [run.settings.get(key, "-") for run in runs]) for key in keys]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def _figures(runs: Sequence[Finished]) -> list[tuple[str, list[str]]]:
    """A row for each figure; for each length of lists, where runs have several."""
    made = []
    for pattern, style, worse in _FIGURES:
        for name in dict.fromkeys(_name(pattern, run) for run in runs):
            found = [run.figures.get(name) for run in runs]
            known = [worse(value) for value in found if value is not None]
            cells = [_cell(run.figures, name, style) for run in runs]
            best = [value is not None and len(known) > 1 and worse(value) == min(known) for value in found]
            made.append((name, [cell + " *" * star for cell, star in zip(cells, best, strict=True)]))
    return made


def _name(pattern: str, run: Finished) -> str:
    return pattern.format(k=run.settings.get("judge.k", "10"))


def _cell(figures: Mapping[str, float], name: str, style: str) -> str:
    if name not in figures:
        return "unknown"
    low, high = figures.get(f"{name}_low"), figures.get(f"{name}_high")
    between = f" [{low:{style}}, {high:{style}}]" if low is not None and high is not None else ""
    return f"{figures[name]:{style}}{between}"


def _remarks(runs: Sequence[Finished]) -> list[str]:
    said = ["test figures of each champion; [ ]: 95 of 100 samples of users; *: the best of a row"]
    if len({run.as_of for run in runs}) > 1:
        said.append("these runs were tested on different dates: a better figure may be an easier date")
    if len({run.settings.get("labels.horizon_days") for run in runs}) > 1:
        said.append("these runs predict within different horizons: their figures are of different things")
    return said
