"""Which of these tests belong to the usual ones."""

import os

# Those of kills take minutes, and so are for `./run crash` and `./run check`, which set the number of kills.
collect_ignore = [] if "LABPLANE_CRASH" in os.environ else ["test_kills.py"]
