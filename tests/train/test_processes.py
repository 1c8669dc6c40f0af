"""One fit on two processes, as ``torchrun`` starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import anndata
import numpy as np
import pandas as pd

import sigilla as sg
from sigilla.models import SVQVAE
from sigilla.train import fit

SMALL = {"n_latent": 4, "n_hidden": 8, "dropout": 0.0, "max_epochs": 3, "batch_size": 40}
# From disk, two processes draw other batches than one: large steps would lead them far apart.
OPTIONS = {"memory": SMALL | {"learning_rate": 0.02}, "disk": SMALL}
TOLERANCE = {"memory": 1e-5, "disk": 0.03}
SCRIPT = """
import atexit
import json
import sys
from pathlib import Path

import numpy as np

from sigilla.models import SVQVAE
from sigilla.train import _data, fit, rank, world

_data._WINDOW_BYTES = 20_000
folder = Path(sys.argv[1])


@atexit.register  # and so called after whatever sigilla registers later
def write_threads():
    names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    (folder / f"threads{rank()}.txt").write_text("".join(names))


data = np.load(folder / "data.npz")


class Rows:
    shape, block_rows = data["x"].shape, 20

    def __getitem__(self, rows):
        return data["x"][rows].copy()


options = json.loads(sys.argv[2])
for source, x in {"memory": data["x"], "disk": Rows()}.items():
    model = SVQVAE(SVQVAE.Config(**options[source]), n_features=12, classes=list("abc"))
    history = fit(model, x, data["label"], progress=False)
    assert world() == 2
    np.savez(folder / f"{source}{rank()}.npz", loss=history["val_loss"], **model.state())
"""


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    label = np.arange(300) % 3
    x = rng.normal(size=(3, 12))[label] + rng.normal(size=(300, 12))
    return x.astype(np.float32), label


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [sys.executable, *start, *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_two_processes_fit_the_model_of_one_at_the_same_batch(tmp_path):
    x, label = data()
    np.savez(tmp_path / "data.npz", x=x, label=label)
    (tmp_path / "script.py").write_text(SCRIPT)
    done = torchrun(str(tmp_path / "script.py"), str(tmp_path), json.dumps(OPTIONS))
    assert done.returncode == 0, done.stderr
    # One that waits for Python as the interpreter goes would abort the process.
    assert not any("gloo" in (tmp_path / f"threads{rank}.txt").read_text() for rank in range(2))
    for source, options in OPTIONS.items():
        model = SVQVAE(SVQVAE.Config(**options), n_features=12, classes=list("abc"))
        history = fit(model, x, label, progress=False)
        first, second = (np.load(tmp_path / f"{source}{rank}.npz") for rank in range(2))
        for name in first.files:
            np.testing.assert_array_equal(first[name], second[name], err_msg=name)
        close = {"rtol": TOLERANCE[source], "atol": TOLERANCE[source]}
        np.testing.assert_allclose(first["loss"], history["val_loss"], **close)
        for name, value in model.state().items():
            np.testing.assert_allclose(first[name], value, err_msg=name, **close)


def test_the_command_line_runs_on_two_processes_and_one_of_them_writes(tmp_path):
    x, label = data()
    obs = pd.DataFrame({"pcl": np.array(list("abc"))[label]}, index=[f"s{i}" for i in range(300)])
    anndata.AnnData(x, obs=obs).write_h5ad(tmp_path / "in.h5ad")
    out = tmp_path / "out.h5ad"
    flags = ["--label", "pcl", "--max-epochs", "2", "--from-disk", "--out", str(out)]
    done = torchrun("-m", "sigilla", "fit", "svqvae", str(tmp_path / "in.h5ad"), *flags)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(f"wrote {out}") == 1
    fitted = anndata.read_h5ad(out)
    assert fitted.uns["svqvae"]["params"]["from_disk"]
    np.testing.assert_array_equal(fitted.X, x)
    assert json.loads(fitted.uns["svqvae"]["model"])["method"] == "svqvae"
    assert (fitted.obs["svqvae"] == fitted.obs["pcl"]).mean() > 0.5
    assert sg.get.model(fitted).classes == ("a", "b", "c")
