"""spark-submit jobs/pipeline.py --config conf/SHOP.yaml [--as-of DATE]: all jobs in order, in one session."""

import sys

from propensity_spark.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
