"""A Spark of several processes for tests and benches: what its environment needs."""

from pathlib import Path

import pyspark


def places(folder: Path) -> dict[str, str]:
    """SPARK_HOME by links, below the folder, and the address to listen at.

    A local cluster keeps its executors' files inside Spark's folder, which should not be ours.
    """
    home = folder / "spark"
    home.mkdir(exist_ok=True)
    for entry in Path(pyspark.__file__).parent.iterdir():
        if entry.name != "work" and not (home / entry.name).exists():
            (home / entry.name).symlink_to(entry)
    return {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1"}
