"""Labs of other programs, taken over as lab files.

Whatever has no place in a lab of labplane is named in `Taken.left_out`; nothing is dropped without a word.
"""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labplane_labs import from_gns3
from labplane_labs.from_containerlab import containerlab
from labplane_labs.reading import read
from labplane_labs.taken import Taken, bad


def take(path: Path, schema: Mapping[str, Any]) -> Taken:
    """The lab in a .gns3project, .gns3 or containerlab file. Raises BadFile.

    schema: of lab files; it says what there is a place for.
    """
    if zipfile.is_zipfile(path):
        try:
            return from_gns3.archive(path, schema)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            RuntimeError,
        ) as error:  # the last: encrypted, or an odd method
            raise bad(path, f"cannot be unpacked: {error}.") from None
    if path.suffix == ".gns3":
        return from_gns3.topology(path, schema)
    document = read(path)
    if not isinstance(document.data, dict) or not isinstance(document.data.get("topology"), dict):
        raise bad(path, "is neither a .gns3project, nor a .gns3 file, nor one of containerlab, which has a topology.")
    try:
        return containerlab(document.data, path.stem.removesuffix(".clab"), schema, path.parent)
    except (TypeError, AttributeError, ValueError) as error:
        raise bad(path, f"is no file of containerlab: {type(error).__name__} {error}.") from None
