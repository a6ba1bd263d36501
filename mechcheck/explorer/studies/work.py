"""The studies by name."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from mechcheck.explorer.bodies import Json
from mechcheck.explorer.studies.discovery import discovery
from mechcheck.explorer.studies.lens import lens
from mechcheck.explorer.studies.patching import patching
from mechcheck.explorer.studies.search import generic, targeted
from mechcheck.explorer.studies.steering import steering
from mechcheck.explorer.studies.turn import Turn
from mechcheck.explorer.workbench import Workbench

STUDIES: Mapping[str, Callable[[Workbench, Json, Turn], Json]] = MappingProxyType(
    {"targeted": targeted, "generic": generic, "patching": patching, "discovery": discovery, "lens": lens, "steering": steering}
)
"""What the page calls it -> what is done, which ends with what the page shows."""
