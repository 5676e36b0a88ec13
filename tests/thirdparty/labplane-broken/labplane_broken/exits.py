"""A plugin that ends the process when it is imported."""

import sys

sys.exit("this machine is not supported")
