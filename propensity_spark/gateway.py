"""The way to the JVM: what PySpark asks it for with every column is looked up once.

`F.col` asks the JVM anew what `functions` is, and the JVM looks through every jar for a class of that name first: a run of a
small shop asks 17,753 times, and spent a twentieth of its time on it.
"""

from pyspark.sql import SparkSession

_OFTEN = {"functions": ("col", "lit", "when", "expr"), "PythonUtils": ("toSeq", "toList")}  # classes and their static methods


def remember(spark: SparkSession) -> None:
    """Keep the classes and methods that every column needs. A session without a JVM of its own (Spark Connect) stays as it is."""
    jvm = getattr(spark, "_jvm", None)
    for name, methods in _OFTEN.items() if jvm is not None else ():
        if name in vars(jvm):
            continue
        found = getattr(jvm, name)
        for method in methods:
            setattr(found, method, getattr(found, method))
        setattr(jvm, name, found)
