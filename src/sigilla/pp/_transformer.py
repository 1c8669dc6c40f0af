"""The influential-feature step as a scikit-learn transformer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from sigilla.pp._influential import score_and_select
from sigilla.pp._selection import MIN_SAMPLES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sklearn.utils import Tags

    from sigilla.pp._selection import NullName


class InfluentialFeatures(SelectorMixin, BaseEstimator):
    """Keep the influential features of a samples x features array.

    The step of :func:`sigilla.pp.influential_features` for scikit-learn: the class labels are not
    used. Arrays and scipy sparse matrices; the values of the kept features are not changed.

    Parameters
    ----------
    null
        ``"table"`` (deterministic) or ``"simulate"`` (as published).
    fraction
        Match only this smallest fraction of the scores to the null.
    n_jobs
        Threads; ``None`` is every available core.
    random_state
        Seed of ``null="simulate"``.

    Attributes
    ----------
    scores_
        Kolmogorov-Smirnov score of each feature; NaN if constant.
    pvalues_
        P-values after the empirical-null correction.
    threshold_
        The largest p-value kept, by Higher Criticism.
    n_features_in_, feature_names_in_
        As in every scikit-learn estimator.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> import sigilla as sg
    >>> X = np.random.default_rng(0).standard_normal((100, 1000))
    >>> X[:50, :20] += 5
    >>> select = sg.pp.InfluentialFeatures().fit(X)
    >>> bool(select.get_support()[:20].all())
    True
    >>> make_pipeline(select, StandardScaler(), PCA(1)).fit_transform(X).shape
    (100, 1)
    """

    def __init__(
        self,
        *,
        null: NullName = "table",
        fraction: float = 1.0,
        n_jobs: int | None = None,
        random_state: int | None = 0,
    ) -> None:
        self.null = null
        self.fraction = fraction
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: Any, y: object = None) -> Self:  # noqa: ARG002 (scikit-learn's signature)
        """Score the features and choose among them.

        Parameters
        ----------
        X
            Samples x features, 3 samples or more.
        y
            Not used.
        """
        X = validate_data(
            self, X, accept_sparse=["csr", "csc"], ensure_min_samples=MIN_SAMPLES, dtype="numeric"
        )
        chosen = score_and_select(
            X,
            null=self.null,
            fraction=self.fraction,
            random_state=self.random_state,
            n_jobs=self.n_jobs,
        )
        self.scores_ = chosen.scores
        self.pvalues_ = chosen.pvalues
        self.threshold_ = chosen.threshold
        self._support = chosen.selected
        return self

    def _get_support_mask(self) -> NDArray[np.bool_]:
        check_is_fitted(self)
        return self._support

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = False
        return tags
