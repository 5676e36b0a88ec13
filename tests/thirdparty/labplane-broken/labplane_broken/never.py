"""A plugin that must never be imported: it leaves a trace when it is."""

import os
from pathlib import Path

Path(os.environ["TRACE_OF_IMPORT"]).write_text("imported")
