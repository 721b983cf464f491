"""The site: Sphinx, from the Markdown pages of this folder.  `make docs` builds it."""

import criticality

project = "Criticality"
author = "The Criticality developers"
version = release = "0.2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_show_search_summary = False
myst_heading_anchors = 4
