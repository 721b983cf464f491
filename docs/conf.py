"""The site: Sphinx, from the Markdown pages of this folder.  `make docs` builds it.

Nothing that a page needs comes from another host, and the search works from disk.
"""

import os
import re
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "agg")

import matplotlib as mpl

HERE = Path(__file__).parent

project = "Criticality"
author = "The Criticality developers"
release = re.findall(r'^version = "(.*)"', (HERE.parent / "pyproject.toml").read_text(), re.M)[0]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "gallery/*.rst", "gallery/*.py"]
nitpicky = True
# Types are words of the docstrings; those of other packages have no page here.
nitpick_ignore_regex = [("py:.*", r".*")]

myst_heading_anchors = 4
suppress_warnings = [
    "config.cache",  # functions in the configuration of the gallery
    "ref.python",  # fields of several classes have one name
]
default_role = "code"  # of docstrings, which are plain

autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "made",
    "filename_pattern": r"plot_",
    "within_subsection_order": "FileNameSortKey",
    "run_stale_examples": True,  # a page shows what the code of today gives
    "reset_modules": (lambda *_: mpl.rcdefaults(),),
    "show_memory": False,
    "write_computation_times": False,
    "show_signature": False,
    "remove_config_comments": True,
}

html_theme = "furo"
html_title = f"Criticality {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_search_summary = False  # it would fetch pages, which browsers refuse from disk
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b5d8f", "color-brand-content": "#0b5d8f"},
    "dark_css_variables": {"color-brand-primary": "#7cc4ee", "color-brand-content": "#7cc4ee"},
}
copybutton_prompt_text = "$ "


def plain(app, what, name, obj, options, lines):
    """Keep |x| in docstrings what it is, an absolute value."""
    lines[:] = [line if "``" in line else line.replace("|", r"\|") for line in lines]


def setup(app):
    """Connect what is above."""
    app.connect("autodoc-process-docstring", plain)
