"""Which registered version of a shop's models has the alias champion."""

from collections.abc import Mapping
from typing import Any

from propensity_spark.config import Config
from propensity_spark.models.families import FAMILIES
from propensity_spark.serve.bundle import Bundle
from propensity_spark.serve.store import model_name

CHAMPION = "champion"  # the alias of the registered version that scores
_SHOWN = 200  # characters of what a registry says
# How stores say that something is not there; of a model without the alias MLflow's own say that a parameter is wrong.
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_PARAMETER_VALUE")


def crown(mlflow: Any, config: Config, bundle: Bundle) -> str:
    """The alias to the champion's version, and from the shop's models of other families: whoever loads by it gets one model.

    It stays where a run has it that does not give way, and where the registry does not say who has it, or lets nobody change it:
    a run that is finished must not fail for that. Returns what there is to be said of it.
    """
    client, champion = mlflow.MlflowClient(), model_name(mlflow, config, bundle.champion)
    stands = "stays where it is"
    try:
        holders = _holders(mlflow, config)
        if not all(_gives_way(tags, bundle) for tags in holders.values()):
            return ""
        client.set_registered_model_alias(champion, CHAMPION, bundle.versions[bundle.champion])
        others = sorted(holders.keys() - {champion})
        for place, other in enumerate(others):
            stands = f"was given to {champion}, and stays with {', '.join(others[place:])} too"
            client.delete_registered_model_alias(other, CHAMPION)
    except mlflow.exceptions.MlflowException as problem:
        said = " ".join(str(problem).split())
        return f"the alias {CHAMPION} {stands}, since the registry says: {said[:_SHOWN]}"
    return ""


def _holders(mlflow: Any, config: Config) -> dict[str, Mapping[str, str]]:
    """The shop's models that have the alias, with the tags of the runs that made them; none of a run that is there no more.

    Each model is asked for by its name, since Unity's registry cannot be searched.
    """
    client, held = mlflow.MlflowClient(), dict[str, Mapping[str, str]]()
    for name in (model_name(mlflow, config, family) for family in FAMILIES):
        try:
            run_id = client.get_model_version_by_alias(name, CHAMPION).run_id
        except mlflow.exceptions.MlflowException as problem:  # no such model, or no such alias
            _check_absent(problem)
            continue
        try:
            held[name] = client.get_run(run_id).data.tags if run_id else {}
        except mlflow.exceptions.MlflowException as problem:
            _check_absent(problem)
            held[name] = {}
    return held


def _check_absent(problem: Any) -> None:
    """Raise the MlflowException again where it says anything else than that there is none: then nobody knows who holds it."""
    if problem.error_code not in _ABSENT:
        raise problem


def _gives_way(holder: Mapping[str, str], bundle: Bundle) -> bool:
    """Whether a new run takes the alias: of the holder's horizon from its date on, of another horizon from the day after.

    So a look back, or at another horizon beside production's, leaves the alias alone, and a change of horizon for good moves it.
    """
    held, new = holder.get("as_of", ""), str(bundle.as_of)  # as text dates have their order
    return held <= new if holder.get("horizon_days") == str(bundle.horizon_days) else held < new
