"""How the site is built: `make docs`."""

import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from generated import SITE, filled

project = "mechcheck"
author = "the mechcheck authors"
copyright = "the mechcheck authors"
release = version = metadata.version("mechcheck")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# What a docstring has between single backticks is code, and a link where something has that name.
default_role = "py:obj"
add_module_names = False
python_maximum_signature_line_length = 90
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False
napoleon_use_rtype = False  # "Returns:" says shapes, which are no types to link to

html_theme = "furo"
html_title = "mechcheck"
html_show_sourcelink = False
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"sidebar_hide_name": False, "navigation_with_keys": True}


def fill_in(app, docname, source):
    """What the site makes in another way than the pages on the repository."""
    source[0] = filled(source[0], SITE)


def leave_out_aliases(app, what, name, obj, options, lines):
    """Python's own words on a field of a NamedTuple say nothing."""
    if lines and lines[0].startswith("Alias for field number"):
        lines.clear()


def keep_colons(app, what, name, obj, options, lines):
    """Without an empty comment napoleon takes what stands before a colon for the field's type."""
    if what == "attribute" and lines:
        lines[:0] = ["..", ""]


def setup(app):
    app.connect("source-read", fill_in)
    app.connect("autodoc-process-docstring", leave_out_aliases)
    app.connect("autodoc-process-docstring", keep_colons, priority=400)  # before napoleon
