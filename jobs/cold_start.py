"""spark-submit jobs/cold_start.py --config conf/SHOP.yaml [--as-of DATE] [--set section.key=value]"""

import sys

from propensity_spark.cli import main

if __name__ == "__main__":
    sys.exit(main(["cold-start", *sys.argv[1:]]))
