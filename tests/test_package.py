"""Promises of the public face: signatures, docstrings, examples, and what an import costs."""

from __future__ import annotations

import doctest
import importlib
import inspect
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import sigilla as sg
from sigilla.models import METHODS

ROOT = Path(__file__).parents[1]
NAMESPACES = ["datasets", "get", "io", "metrics", "models", "pl", "pp", "report", "tl"]
PUBLIC = [
    f"{namespace}.{name}"
    for namespace in NAMESPACES
    for name in importlib.import_module(f"sigilla.{namespace}").__all__
]
FUNCTIONS = [name for name in PUBLIC if inspect.isfunction(eval(f"sg.{name}"))]
HEAVY = [
    "torch",
    "scanpy",
    "anndata",
    "pandas",
    "h5py",
    "sklearn",
    "scipy",
    "matplotlib",
    "dask",
    "numba",
]


def public(name):
    namespace, _, leaf = name.partition(".")
    return getattr(getattr(sg, namespace), leaf)


# -- names ----------------------------------------------------------------------------------------


def test_the_face_shows_every_namespace():
    assert set(NAMESPACES) == set(sg.__all__) - {"settings", "__version__"}
    assert dir(sg) == sorted(sg.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'tool'"):
        sg.tool  # noqa: B018


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_exports_are_what_a_namespace_holds(namespace):
    module = getattr(sg, namespace)
    assert len(set(module.__all__)) == len(module.__all__)
    own = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__.startswith(f"sigilla.{namespace}")
    }
    # A helper that is not exported has an underscore, or is not imported into the face.
    assert own - set(module.__all__) - {"verb", "read_model_file"} == set()
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


# -- signatures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_take_at_most_two_positionals_and_flat_keywords(name):
    parameters = inspect.signature(public(name)).parameters.values()
    positional = [
        p.name for p in parameters if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}
    ]
    assert len(positional) <= 2
    assert [p.name for p in parameters if p.kind is p.VAR_POSITIONAL] == []


@pytest.mark.parametrize("name", [f"tl.{name}" for name in METHODS])
def test_verbs_of_the_registry_share_their_grammar(name):
    signature = inspect.signature(public(name))
    assert next(iter(signature.parameters)) == "adata"
    assert signature.parameters["copy"].default is False
    assert signature.parameters["random_state"].default == 0
    assert signature.parameters["device"].default == "auto"
    assert signature.parameters["progress"].default is None
    assert {"layer", "use_rep", "mask_var", "key_added"} <= set(signature.parameters)
    assert not [p for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD]


# -- docstrings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_say_what_they_take_return_and_show_an_example(name):
    doc = inspect.getdoc(public(name)) or ""
    assert re.match(r"[^\n]+(\.|:)(\n\n|$)", doc), "a first line that ends, then an empty one"
    assert "Returns\n-------" in doc or inspect.signature(public(name)).return_annotation == "None"
    assert "Examples\n--------" in doc
    assert ">>>" in doc
    parameters = inspect.signature(public(name)).parameters
    section = doc.partition("Parameters\n----------\n")[2].partition("\n\n")[0]
    documented = {
        n.strip("* ")
        for line in re.findall(r"^([\w*][^\n]*)$", section, flags=re.MULTILINE)
        for n in line.split(",")
    }
    shared = {"progress"} if not documented else set()
    assert set(parameters) - documented - shared == set()


@pytest.mark.parametrize("name", [name for name in PUBLIC if name not in FUNCTIONS])
def test_classes_and_values_have_a_docstring(name):
    value = public(name)
    if inspect.isclass(value):
        assert value.__doc__
        assert not value.__doc__.startswith(f"{value.__name__}("), "made by dataclass, not written"


@pytest.mark.parametrize("name", METHODS)
def test_examples_of_verbs_run(name):
    # The other examples are collected from the modules they are written in.
    (found,) = doctest.DocTestFinder(recurse=False).find(public(f"tl.{name}"), name)
    assert found.examples
    assert doctest.DocTestRunner().run(found).failed == 0


# -- what an import costs -------------------------------------------------------------------------


def loaded_by(code):
    probe = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("code", ["import sigilla", "import sigilla.cli"])
def test_importing_loads_nothing_heavy(code):
    loaded = loaded_by(code)
    assert "sigilla.settings" in loaded
    assert [name for name in HEAVY if name in loaded] == []


def test_import_sigilla_loads_its_settings_and_nothing_to_find_a_version_with():
    own = {name for name in loaded_by("import sigilla") if name.startswith("sigilla")}
    assert own == {"sigilla", "sigilla.settings"}
    slow = {"importlib.metadata", "email", "zipfile", "typing_extensions", "numpy", "rich", "typer"}
    assert slow & loaded_by("import sigilla") == set()
    assert "importlib.metadata" in loaded_by("import sigilla; sigilla.__version__")


@pytest.mark.parametrize("namespace", ["io", "pl", "pp"])
def test_files_plots_and_selection_need_no_torch(namespace):
    assert "torch" not in loaded_by(f"import sigilla; sigilla.{namespace}")


# -- what the repository says ---------------------------------------------------------------------


def code_blocks(file, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / file).read_text(), flags=re.DOTALL)


def test_the_readme_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = code_blocks("README.md", "python")
    exec(compile(example, "README.md", "exec"), {})
    assert {path.name for path in tmp_path.iterdir()} == {"codes.png", "fitted.h5ad"}


def test_the_readme_has_the_two_commands():
    lines = [line for block in code_blocks("README.md", "sh") for line in block.splitlines()]
    (demo,) = [line for line in lines if line.endswith("sigilla demo")]
    (tests,) = [line for line in lines if "/bin/pytest" in line]
    for line in (demo, tests):
        assert line.startswith("python3 -m venv .venv && .venv/bin/pip install -c constraints.txt ")


def test_the_method_that_contributing_shows_is_a_method(monkeypatch):
    from sigilla.tl._fit import verb

    example = next(
        b
        for b in re.findall(
            r"   ```python\n(.*?)   ```", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.DOTALL
        )
    )
    source = inspect.cleandoc("\n" + example)
    module = type(sys)("mymethod")
    monkeypatch.setitem(sys.modules, "mymethod", module)
    exec(compile(source, "CONTRIBUTING.md", "exec"), vars(module))
    adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=30)
    verb(module.MyMethod)(adata, max_epochs=2, n_latent=4)
    assert adata.obsm["X_mymethod"].shape == (adata.n_obs, 4)


def test_constraints_pin_every_declared_dependency_exactly():
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if not line.startswith("#")
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = project["dependencies"] + extras["test"] + extras["lint"] + extras["docs"]
    for requirement in map(Requirement, declared):
        pin = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pin), requirement
    assert pins["torch"] == "2.13.0"
