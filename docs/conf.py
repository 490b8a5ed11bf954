"""The site: Sphinx, with examples executed, and nothing fetched when a page is read."""

from __future__ import annotations

import os
import shutil
import tempfile
from importlib import import_module
from pathlib import Path

from sphinx_gallery.scrapers import figure_rst

import deepmatrixinversion

HERE = Path(__file__).parent

project = "DeepMatrixInversion"
author = "The DeepMatrixInversion authors"
project_copyright = author
version = release = deepmatrixinversion.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["**sg_execution_times.rst"]
templates_path = ["_templates"]
root_doc = "index"

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["config.cache"]

autodoc_typehints = "none"  # numpydoc's sections say it, with shapes
autosummary_generate = True
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/icon.svg"
html_theme_options = {
    "navbar_end": ["theme-switcher"],
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "header_links_before_dropdown": 8,
}
html_sidebars = {"install": [], "playground": []}  # no pages beside them
html_show_sourcelink = False
html_copy_source = False
mathjax_path = "mathjax/tex-svg.js"

# Examples write their plots to --out, a folder of this build.
PLOTS = Path(tempfile.mkdtemp(prefix="gallery-"))


def collect_plots(block, block_vars, gallery_conf):
    """The plots that an example has written since the last look, as the gallery's images."""
    images = []
    for plot in sorted(PLOTS.glob("*.png")):
        target = next(block_vars["image_path_iterator"])
        shutil.move(plot, target)
        images.append(target)
    return figure_rst(images, gallery_conf["src_dir"])


def arguments(gallery_conf, script_vars):
    """The command line of an example."""
    return ["--out", str(PLOTS)]


sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/(\d\d_|benchmark_)\w+\.py$",  # what onnx_models holds are modules
    "ignore_pattern": r"export_all\.py$",
    "image_scrapers": (collect_plots,),
    "default_thumb_file": str(HERE / "_static" / "icon.svg"),  # of examples without a plot
    "within_subsection_order": "FileNameSortKey",
    "reset_argv": arguments,
    "reset_modules": (),
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 0,
    "abort_on_example_error": True,
    "only_warn_on_example_error": False,
    "download_all_examples": False,
    "nested_sections": False,
}

COMMANDS = {
    "dmxinvert": "invert",
    "dmxtrain": "train",
    "dmxexport": "export",
    "dmxdatasetgenerator": "dataset_generator",
    "dmxdatasetverify": "dataset_verify",
}


def write_commands(app) -> None:
    """``reference/commands.md`` from the commands' own ``--help``."""
    os.environ["COLUMNS"] = "96"
    pages = ["# Commands\n\nWhat each prints for `--help`.\n"]
    for command, module in COMMANDS.items():
        text = import_module(f"deepmatrixinversion.cli.{module}").parser().format_help()
        pages.append(f"## {command}\n\n```text\n{text.rstrip()}\n```\n")
    page = HERE / "reference" / "commands.md"
    if not page.exists() or page.read_text(encoding="utf-8") != "\n".join(pages):
        page.write_text("\n".join(pages), encoding="utf-8")


# Folders that the pages link to where they are read in a checkout, and their pages here.
ELSEWHERE = {
    "](../examples/onnx_models/gpytorch_posterior.py)": "](gallery/onnx_models/gpytorch_posterior)",
    "](../examples/onnx_models)": "](gallery/index.rst)",
}


def point_into_site(app, docname, source) -> None:
    """Links out of ``docs/`` become links to the page that shows the same."""
    for link, page in ELSEWHERE.items():
        source[0] = source[0].replace(link, page)


def setup(app) -> None:
    """Called by Sphinx."""
    app.connect("builder-inited", write_commands)
    app.connect("source-read", point_into_site)
