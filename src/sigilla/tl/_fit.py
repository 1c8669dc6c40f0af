"""From a method in the registry to a scanpy-style verb: read, fit, store."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sigilla import docs, keys
from sigilla.batches import Blocks, read_labels, read_observations
from sigilla.errors import FileError, unknown_name
from sigilla.seed import checked_seed
from sigilla.target import target_of
from sigilla.tl._store import store
from sigilla.train import fit, resolve_device, sample_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from anndata import AnnData
    from numpy.typing import NDArray

    from sigilla.models import Model

_DOC = """\
{summary}

{description}

Parameters
----------
adata
    Observations x genes. ``X`` (or ``layer``, ``use_rep``) may be dense, sparse, backed or dask.
{label}{options}
layer
    Matrix to use in place of ``X``.
use_rep
    Representation in ``obsm`` to use in place of ``X``.
mask_var
    Genes to use: a boolean column of ``var``, or a mask.
key_added
    Replaces {name!r} in the names below.
random_state
    Seed of the start, the split and the order; the same seed and machine give the same result.
device
    ``"auto"`` (CUDA where there is one), ``"cpu"``, ``"cuda"``, ...
progress
    Show a bar with the loss; ``None`` on a terminal or in a notebook only.
checkpoint
    A file written during the fit; a fit that was interrupted goes on from it.
from_disk
    Leave the matrix where it is and read it in blocks while training; ``None`` does so where the
    matrix is not dense in memory and, made dense, would take more than half of what is available.
    The start in closed form then looks at ``uns['{name}']['params']['start_rows']`` observations
    at most, drawn by class, and no more are held out.
copy
    Return a changed copy and leave ``adata`` alone.

Returns
-------
``None`` (or the copy). Sets the following fields:

{fields}

Raises
------
KeyError
    A named column or matrix is not there; the message proposes the nearest name.
DataError
    NaN or infinite values{label_errors}.
ValueError
    An option outside its bounds.
TrainingError
    A loss term became NaN or infinite; the message names it.
FileError
    The checkpoint cannot be written or belongs to another fit.

References
----------
{paper}

Examples
--------
>>> import sigilla as sg
>>> adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=30, random_state=0)
>>> sg.tl.{name}(adata, max_epochs=2)
>>> adata.obsm["X_{name}"].shape[0] == adata.n_obs
True
"""

_LABEL = """\
label_key
    Column of ``obs`` with the class of each observation; missing values are observations that
    nobody has classified: they train what needs no label, and are annotated like all others.
"""

_FIELDS = {
    "always": """\
``obsm['X_{name}']``
    Latent{before}, n x d.
``uns['{name}']``
    ``history`` (one value per epoch), ``params``, ``weights`` and ``model``: the whole model,
    which :func:`sigilla.get.model` restores.""",
    "codes": """\
``obs['{name}']``
    Nearest code.
``obs['{name}_confidence']``
    Its probability, 0 to 1 (methods with classes).
``obsm['{name}_codes']``
    Embedding of the nearest code, n x d.
``obsm['{name}_distances']``
    Squared Euclidean distance to every code, n x K.
``varm['{name}_prototypes']``
    Decoded codes in the units of the data, genes x K; NaN for genes that were not used.
``uns['{name}']``
    Also ``codes`` (K x d), ``classes`` and ``code_correlation`` (K x K, Pearson, in
    ``correlation_space``).""",
}


def verb(method: type[Model]) -> Callable[..., AnnData | None]:
    """The function ``tl.<method.name>`` with the flat signature of its Config."""

    def run(
        adata: AnnData,
        label_key: str | None = "pcl" if method.uses_labels else None,
        *,
        layer: str | None = None,
        use_rep: str | None = None,
        mask_var: str | NDArray[np.bool_] | None = None,
        key_added: str | None = None,
        random_state: int = 0,
        device: str = "auto",
        progress: bool | None = None,
        checkpoint: str | Path | None = None,
        from_disk: bool | None = None,
        copy: bool = False,
        **options: Any,
    ) -> AnnData | None:
        _require_known(method, options)
        checked_seed(random_state)
        config = method.Config(**options)
        if method.uses_labels and label_key is None:
            raise ValueError(
                f"label_key=None: {method.title} learns one code per class; name the column of "
                "obs that has the classes"
            )
        _require_usable(key_added or method.name, checkpoint)
        where = resolve_device(device)
        labels = None if label_key is None else read_labels(adata, label_key)
        seen = read_observations(
            adata, layer=layer, use_rep=use_rep, mask_var=mask_var, from_disk=from_disk
        )
        model = method(
            config,
            n_features=len(seen.names),
            classes=() if labels is None else labels.classes,
            var_names=seen.names,
            seed=random_state,
        )
        history = fit(
            model,
            seen.x,
            None if labels is None else labels.index,
            random_state=random_state,
            device=where,
            progress=progress,
            checkpoint=checkpoint,
        )
        params = {"label_key": label_key, "layer": layer, "use_rep": use_rep}
        if isinstance(seen.x, Blocks):
            params |= {"from_disk": True, "start_rows": sample_rows(*seen.x.shape)}
        target = target_of(adata, copy=copy)
        store(
            target,
            key_added or method.name,
            model,
            seen,
            history=history,
            params=params | {"random_state": random_state},
        )
        return target if copy else None

    return _dress(run, method)


def _require_usable(key: str, checkpoint: str | Path | None) -> None:
    """Names that a file can hold, and a checkpoint that can be written, before hours of work."""
    keys.checked(key)
    if checkpoint is not None and not Path(checkpoint).absolute().parent.is_dir():
        raise FileError(f"checkpoint={str(checkpoint)!r}: its folder does not exist; make it first")


def _require_known(method: type[Model], options: dict[str, Any]) -> None:
    known = [p.name for p in docs.options(method.Config)]
    for name in options:
        if name not in known:
            raise TypeError(f"tl.{method.name}: " + unknown_name("option", name, known))


def _dress(run: Callable[..., Any], method: type[Model]) -> Callable[..., Any]:
    """Name, signature and docstring as if the function had been written by hand."""
    signature = docs.flat_signature(run, method.Config)
    if not method.uses_labels:
        kept = [p for p in signature.parameters.values() if p.name != "label_key"]
        signature = signature.replace(parameters=kept)
    run.__name__ = run.__qualname__ = method.name
    run.__module__ = "sigilla.tl"
    # Where inspect looks first.
    run.__dict__["__signature__"] = signature
    fields = _FIELDS["always"] + ("\n" + _FIELDS["codes"] if method.has_codes else "")
    summary, _, description = inspect.cleandoc(method.__doc__ or "").partition("\n")
    run.__doc__ = _DOC.format(
        name=method.name,
        summary=f"{method.title}: {summary}",
        description=description.strip(),
        label=_LABEL if method.uses_labels else "",
        options=docs.option_docs(method.Config),
        label_errors=", or fewer than two classes" if method.uses_labels else "",
        paper=method.paper,
        fields=fields.format(
            name=method.name, before=" before quantisation" if method.has_codes else ""
        ),
    )
    return run
