"""Every benchmark, each printing its ratio: `make bench`. Some measure on data that is not in the project: `make bench DATA=FILE`."""

import subprocess
import sys

from bench import demo


def main() -> None:
    demo.main()
    if len(sys.argv) > 1:
        subprocess.run([sys.executable, "-m", "bench.clustering", sys.argv[1]], check=True)
    else:
        print("bench.clustering: left out; it measures on a labelled set, a CSV with the columns text and category: make bench DATA=FILE")


if __name__ == "__main__":
    main()
