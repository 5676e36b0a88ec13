"""Where the keeper begins when it is run as an archive, which is how it is handed to the one that it replaces."""

import sys

from labplane_keeper.keeper import main

main(sys.argv[1:])
