"""Sphinx configuration; what other files say already is turned into pages by pages.py."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))

import pages  # noqa: E402 - beside this file

import sigilla  # noqa: E402

project = "sigilla"
author = "The sigilla developers"
copyright = "2026, The sigilla developers"
release = sigilla.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx.ext.mathjax",
]
exclude_patterns = ["_build", "generated/*.md", "jupyter_execute"]
templates_path = ["_templates"]
html_theme = "furo"
html_static_path = ["_static"]
html_title = f"sigilla {release}"

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
# Tutorials are run by scripts/tutorials.py and shown as they were committed.
nb_execution_mode = "off"

autosummary_generate = True
autodoc_typehints = "none"  # the signature shows them; the text need not repeat them
autodoc_member_order = "bysource"
napoleon_numpy_docstring = True
napoleon_google_docstring = False
# What a verb writes is prose and lists, not the "type, then description" that napoleon reads.
napoleon_custom_sections = ["Returns"]

pages.write(ROOT, HERE / "generated")
