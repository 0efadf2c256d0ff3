"""spark-submit jobs/families.py --config conf/SHOP.yaml [--as-of DATE] [--families a,b] [--set section.key=value]"""

import sys

from propensity_spark.cli import main

if __name__ == "__main__":
    sys.exit(main(["families", *sys.argv[1:]]))
