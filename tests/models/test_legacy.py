"""The authors' weight files are read, and nothing that a file names is ever run."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import sigilla as sg
from sigilla.errors import FileError
from sigilla.models._legacy import read_legacy_tensors
from sigilla.settings import settings


def save_legacy(module: nn.Module, path: Path) -> Path:
    torch.save(module, path, _use_new_zipfile_serialization=False)
    return path


@pytest.mark.parametrize(
    "module",
    [nn.Linear(3, 5), nn.Embedding(7, 2), nn.Sequential(nn.Linear(4, 3), nn.Tanh())],
    ids=["linear", "embedding", "sequential"],
)
def test_tensors_and_names_are_those_of_state_dict(module, tmp_path):
    read = read_legacy_tensors(save_legacy(module, tmp_path / "m.pth"))
    expected = module.state_dict()
    assert list(read) == list(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(read[name], tensor, rtol=0, atol=0)


class _Attack:
    def __init__(self, target, *args):
        self.target, self.args = target, args

    def __reduce__(self):
        return self.target, self.args


def _with_module(payload: object) -> bytes:
    stream = io.BytesIO()
    for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, payload):
        pickle.dump(part, stream, protocol=2)
    return stream.getvalue()


@pytest.mark.parametrize("first", [True, False], ids=["before the magic number", "as the module"])
def test_a_pickle_that_would_create_a_file_is_refused(first, tmp_path):
    created = tmp_path / "created"
    attack = _Attack(Path.touch, created)
    file = tmp_path / "evil.pth"
    file.write_bytes(pickle.dumps(attack, protocol=2) if first else _with_module(attack))
    with pytest.raises(FileError, match="which no published module needs"):
        read_legacy_tensors(file)
    assert not created.exists()
    pickle.loads(pickle.dumps(attack, protocol=2))
    assert created.exists(), "the attack is real: an ordinary unpickler runs it"


@pytest.mark.parametrize("target", [eval, exec, __import__, getattr])
def test_builtins_are_refused_by_name(target, tmp_path):
    file = tmp_path / "evil.pth"
    file.write_bytes(_with_module(_Attack(target, "1", "2")))
    with pytest.raises(FileError, match=target.__name__):
        read_legacy_tensors(file)


def test_a_name_reached_through_an_allowed_one_is_refused(tmp_path):
    file = tmp_path / "evil.pth"
    dotted = b"\x80\x02ccollections\nOrderedDict.__init__\n."
    file.write_bytes(_with_module(None)[:-4] + dotted)
    with pytest.raises(FileError, match=r"OrderedDict\.__init__"):
        read_legacy_tensors(file)


def test_a_file_cut_anywhere_is_refused(tmp_path):
    whole = save_legacy(nn.Sequential(nn.Linear(4, 3), nn.Tanh()), tmp_path / "m.pth").read_bytes()
    file = tmp_path / "cut.pth"
    for size in range(len(whole)):
        file.write_bytes(whole[:size])
        with pytest.raises(FileError, match="truncated"):
            read_legacy_tensors(file)


@pytest.mark.parametrize("content", [b"", b"sig_id\tpert_id\n", b"PK\x03\x04", b"<!DOCTYPE html>"])
def test_other_files_are_refused(content, tmp_path):
    file = tmp_path / "other.pth"
    file.write_bytes(content)
    with pytest.raises(FileError, match="not a readable"):
        read_legacy_tensors(file)


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_legacy_tensors(tmp_path / "none.pth")


def test_the_published_files_hold_the_published_architecture(mirror):
    encode, embedding, decode = (
        read_legacy_tensors(mirror(f"pretrained/S_VQ_VAE_{part}.pth"))
        for part in ("encode", "embedding", "decode")
    )
    assert {k: tuple(v.shape) for k, v in encode.items()} == {
        "0.weight": (1000, 978),
        "0.bias": (1000,),
    }
    assert {k: tuple(v.shape) for k, v in embedding.items()} == {"weight": (75, 1000)}
    assert {k: tuple(v.shape) for k, v in decode.items()} == {
        "0.weight": (978, 1000),
        "0.bias": (978,),
    }


# Mutual nearest codes of the paper's heatmap: 1 - Pearson correlation of the 1000-d codes.
PAIRS = {
    ("MTOR_INHIBITOR", "PI3K_INHIBITOR"): 0.264,
    ("DOPAMINE_RECEPTOR_ANTAGONIST", "PDGFR_KIT_INHIBITOR"): 0.275,
    ("MEK_INHIBITOR", "SRC_INHIBITOR"): 0.340,
    ("CDK_INHIBITOR", "TOPOISOMERASE_INHIBITOR"): 0.343,
    ("IKK_INHIBITOR", "PARP_INHIBITOR"): 0.402,
    ("ESTROGEN_RECEPTOR_AGONIST", "NOREPINEPHRINE_REUPTAKE_INHIBITOR"): 0.409,
    ("NFKB_PATHWAY_INHIBITOR", "T_TYPE_CALCIUM_CHANNEL_BLOCKER"): 0.446,
    ("CANNABINOID_RECEPTOR_AGONIST", "BACTERIAL_DNA_GYRASE_INHIBITOR"): 0.455,
    ("GAMMA_SECRETASE_INHIBITOR", "SEROTONIN_RECEPTOR_ANTAGONIST"): 0.464,
    ("PKC_INHIBITOR", "GLYCOGEN_SYNTHASE_KINASE_INHIBITOR"): 0.469,
    ("BROMODOMAIN_INHIBITOR", "LEUCINE_RICH_REPEAT_KINASE_INHIBITOR"): 0.494,
    ("POTASSIUM_CHANNEL_ACTIVATOR", "NUCLEOSIDE_REVERSE_TRANSCRIPTASE_INHIBITOR"): 0.511,
    ("DNA_POLYMERASE_INHIBITOR", "BENZODIAZEPINE_RECEPTOR_AGONIST"): 0.567,
}


def test_the_published_codes_reproduce_the_published_nearest_pairs(mirror):
    codes = read_legacy_tensors(mirror("pretrained/S_VQ_VAE_embedding.pth"))["weight"].numpy()
    table = mirror("tables/svqvae_75_pcl_index.tsv").read_text().split()[2:]
    classes = [name.removeprefix("CP_") for name in table[1::2]]
    distance = 1 - np.corrcoef(codes)
    np.fill_diagonal(distance, np.inf)
    nearest = distance.argmin(1)
    found = {
        (classes[i], classes[j]): distance[i, j]
        for i, j in enumerate(nearest)
        if nearest[j] == i and i < j
    }
    assert found.keys() == PAIRS.keys()
    for pair, published in PAIRS.items():
        assert found[pair] == pytest.approx(published, abs=1e-3), pair


PATHWAY = {
    "MEK inhibitor": {"CP_MEK_INHIBITOR", "CP_RAF_INHIBITOR"},
    "RAF inhibitor": {"CP_MEK_INHIBITOR", "CP_RAF_INHIBITOR"},
    "mTOR inhibitor": {"CP_MTOR_INHIBITOR", "CP_PI3K_INHIBITOR"},
    "topoisomerase inhibitor": {"CP_TOPOISOMERASE_INHIBITOR"},
}


def test_active_wells_of_the_real_plate_land_on_their_own_pathway(mirror, monkeypatch):
    monkeypatch.setattr(settings, "mirror", str(mirror("pretrained").parent))
    encode = read_legacy_tensors(mirror("pretrained/S_VQ_VAE_encode.pth"))
    codes = read_legacy_tensors(mirror("pretrained/S_VQ_VAE_embedding.pth"))["weight"]
    table = mirror("tables/svqvae_75_pcl_index.tsv").read_text().split()[2:]
    plate = sg.datasets.l1000_plate()[:, sg.datasets.landmarks()["pr_gene_id"]]
    x = torch.from_numpy(plate.X).clamp(-10, 10)  # the range that the model was trained on
    z = torch.tanh(x @ encode["0.weight"].T + encode["0.bias"])
    nearest = np.array(table[1::2])[torch.cdist(z, codes).argmin(dim=1).numpy()]
    active = plate.obs[np.abs(plate.X).mean(axis=1) > 1.2]
    nearest = dict(zip(plate.obs_names, nearest, strict=True))
    hits = [
        any(nearest[well] in own for moa, own in PATHWAY.items() if moa in mechanisms.split("|"))
        for well, mechanisms in active["moa"].dropna().items()
        if set(mechanisms.split("|")) & PATHWAY.keys()
    ]
    assert len(hits) >= 40
    assert np.mean(hits) >= 0.85
