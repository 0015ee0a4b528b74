"""The auto-decoder as a transformer of scikit-learn: a thin face over `fit_model` and `Model`."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, no_type_check

import equinox as eqx
import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from autodecoder.config.rules import as_plain, check_positive_int
from autodecoder.core.infer import Inference
from autodecoder.data.carriers import as_array
from autodecoder.data.missing import check_some_known, find_known
from autodecoder.estimator.display import Displayed
from autodecoder.estimator.labels import Classes, Named, join_labels, number_labels, read_labels
from autodecoder.estimator.names import ExplainsNames, explains_names
from autodecoder.estimator.samples import image_forms, join_names, read_samples
from autodecoder.estimator.settings import CONSTRAINTS, choose_shape, count_epochs, fit_settings
from autodecoder.model import Model, fit_model
from autodecoder.model.fit import Callback
from autodecoder.model.samples import add_samples
from autodecoder.model.start import epochs_done


class AutoDecoder(
    ExplainsNames, Displayed, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Nonlinear dimensionality reduction by a decoder without an encoder.

    Decoder and one latent vector per training sample are trained together, so that
    `mean((decode(z_i) - x_i)^2)` falls. `transform` then searches for each sample the latent whose
    reconstruction is nearest, under the frozen decoder: it is slower than an encoder's pass, takes
    nothing from other samples, and gives training samples their place in the same way as new ones.
    So `fit_transform(X)` equals `fit(X).transform(X)`; the latents as training left them are in
    `embedding_`. `plot` draws them, and `show` opens a map that decodes the point below the mouse.

    Use it for pictures of a latent space, as a compact decoder, or where data are few. Any numbers
    will do: pixels, or features of a table. Values may be missing (not a number, NA, or masked):
    they count nowhere, and `inverse_transform(transform(X))` has all of them.

    Parameters
    ----------
    latent_dims : int
        Length of the latents.
    arch : str or sequence of int
        Widths of the decoder's hidden layers, from latents to sample: `"128-256-512"`; of images
        also `"conv:64-32"` and `"resconv:64-32"`, see `parse_arch`.
    decoder : equinox.Module, optional
        A decoder of your own, see `fit_model`, which maps latents of `latent_dims`; then `arch`,
        `activation`, `batch_norm` and `dropout_rate` do not count.
    image_shape : (height, width) or (height, width, channels), optional
        Shape of the images that the rows of a flat X hold: `(28, 28)` for MNIST as
        `(n_samples, 784)`. They are then pixels, are drawn as images, and can be decoded by
        convolutions. X may also hold images of this shape.
    scaler : str
        `auto`: `standard` for uint8, for arrays of three or four axes and where `image_shape` or
        `pixel_range` is given, else `standardize`. `standard`, `zero_one` and `identity` are for
        pixels, whole numbers from 0 to 255 or floats or booleans from 0 to 1, and scale them to
        [-1, 1] (output tanh), [0, 1] (sigmoid) or 0 to 255 (linear); `standardize` is for any
        features, `(n_samples, n_features)`, which it brings to mean 0 and standard deviation 1
        (linear).
    pixel_range : (low, high), optional
        Values of black and of white of pixels, where they are not those: `(0, 1)` for whole numbers
        that are 0 or 1, `(0, 16)` for the digits of scikit-learn. Floats that reach from 0 to
        between 128 and 255 are read as `(0, 255)`.
    num_epochs : int, optional
        Passes over the samples; by default as many as make 5,000 steps, from 20 to 500.
    batch_size : int
        Samples a step; all of them where there are fewer.
    learning_rate : float, optional
        Of the decoder, and of the latents where the recipe has no rate of theirs. By default 5e-3
        for recipe `fast`, 1e-2 with convolutions, and 1e-3 for `original`.
    recipe : str
        `fast` or `original`.
    latent_start : str, optional
        Initial latents, see `FitConfig`; by default those of the recipe. `neighbours` keeps more
        neighbourhoods in 2 dimensions, and needs `pip install 'autodecoder[neighbours]'`.
    activation : str
        Of the hidden layers.
    batch_norm : bool, optional
        Batch normalisation of the hidden layers; by default of recipe `original` only.
    dropout_rate : float
        Share of hidden units dropped in training.
    prior : str
        Density of the latents, fitted in training: `none`, `gaussian`, or `mixture` of Gaussians.
    codes : str
        What each sample owns in training: `point`, a latent; `gaussian`, the mean and variance of a
        latent (variational auto-decoder), which needs a prior.
    random_state : int, RandomState instance or None
        Everything random follows from it.
    warm_start : bool
        Whether `fit` goes on with the fit before it, by `num_epochs` more: X then begins with the
        samples of before, in their order; latents of further ones are inferred first.
    callback : callable, optional
        Called about every half second with the epoch, counted from 1, and its metrics by name.
    verbose : bool or int
        Show a progress bar with epoch and loss while it fits, in a terminal or a notebook; nothing
        by default.

    Attributes
    ----------
    model_ : Model
        The trained decoder with its latents: what it can do beside, interpolate, sample and fill in
        missing pixels, is there. Its `labels` and `about["class_names"]` are those of `y`.
    embedding_
        The latents of the training samples as training left them, `(n_samples, latent_dims)`; the
        same as `model_.latents`.
    n_features_in_ : int
        Numbers in one sample.
    feature_names_in_
        Names of the columns of X, an array of strings, where it had names.
    sample_shape_ : tuple
        Shape of one sample, as X had it.
    reconstruction_error_ : float
        Training loss of the last epoch, in the scaled space.

    See Also
    --------
    fit_model : The same fit with all settings.
    run_study : Search of learning rates, repeated and kept on disk.

    References
    ----------
    Tan & Mavrovouniotis 1995, "Reducing data dimensionality through optimizing neural network
    inputs"; Bojanowski et al. 2018, "Optimizing the latent space of generative networks".

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X = load_iris().data
    >>> decoder = AutoDecoder(arch="32-32", num_epochs=50, random_state=0).fit(X)
    >>> decoder.transform(X).shape
    (150, 2)
    >>> decoder.score(X) > -0.1
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = CONSTRAINTS
    _classes: Classes | None = None

    latent_dims: int
    arch: str | Sequence[int]
    decoder: eqx.Module | None
    image_shape: tuple[int, ...] | None
    scaler: str
    pixel_range: tuple[float, float] | None
    num_epochs: int | None
    batch_size: int
    learning_rate: float | None
    recipe: str
    latent_start: str | None
    activation: str
    batch_norm: bool | None
    dropout_rate: float
    prior: str
    codes: str
    random_state: int | np.random.RandomState | None
    warm_start: bool
    callback: Callback | None
    verbose: bool | int
    sample_shape_: tuple[int, ...]

    # scikit-learn's contract: whatever is given is stored, and checked by `fit`.
    @explains_names
    @no_type_check
    def __init__(
        self,
        latent_dims: int = 2,
        *,
        arch: str | Sequence[int] = "128-256-512",
        decoder: eqx.Module | None = None,
        image_shape: tuple[int, ...] | None = None,
        scaler: str = "auto",
        pixel_range: tuple[float, float] | None = None,
        num_epochs: int | None = None,
        batch_size: int = 128,
        learning_rate: float | None = None,
        recipe: str = "fast",
        latent_start: str | None = None,
        activation: str = "leaky_relu",
        batch_norm: bool | None = None,
        dropout_rate: float = 0.0,
        prior: str = "none",
        codes: str = "point",
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        callback: Callback | None = None,
        verbose: bool | int = False,
    ) -> None:
        self.latent_dims = latent_dims
        self.arch = arch
        self.decoder = decoder
        self.image_shape = image_shape
        self.scaler = scaler
        self.pixel_range = pixel_range
        self.num_epochs = num_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.recipe = recipe
        self.latent_start = latent_start
        self.activation = activation
        self.batch_norm = batch_norm
        self.dropout_rate = dropout_rate
        self.prior = prior
        self.codes = codes
        self.random_state = random_state
        self.warm_start = warm_start
        self.callback = callback
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> "AutoDecoder":
        """Train decoder and latents on samples.

        Parameters
        ----------
        X : (n_samples, n_features), (n, height, width) or (n, height, width, channels)
            An array, a frame of pandas, polars or Arrow, a tensor or lists: equal numbers of one
            type give equal results, whatever holds them. The index of a frame of pandas, unless it
            only counts the rows from 0, names the samples in `model_.names` and in `show`.
        y : array-like of n_samples, optional
            Labels: words, numbers or booleans. The fit does not look at them; the model keeps them,
            and `plot` and `show` colour by them. Each value is a class; numbers of very many values
            become 16 ranges. Several numbers for each sample do not count.

        Raises
        ------
        ValueError
            If X is sparse, complex, infinite or of other shape, or its pixels are out of range; if
            a sample has no known value; if there are more or fewer labels than samples; if a
            parameter breaks its rule; if the loss diverged.
        """
        self._validate_params()
        start = self.model_ if self.warm_start and hasattr(self, "model_") else None
        samples = self._read(X, reset=start is None)
        labels = None if y is None else read_labels(y, len(samples))
        if labels is None:
            labelled = join_labels(start, self._classes, None, len(samples))
        else:
            labelled = number_labels(labels, None if start is None else self._classes)
        named = (labelled, join_names(start, X))
        return self._fit(samples, start, count_epochs(self, samples), named)

    def partial_fit(self, X: Any, y: Any = None, *, num_epochs: int | None = None) -> "AutoDecoder":
        """Go on with a fit: take in further samples, and train on all of them.

        The latents of further samples are inferred, then all latents move along with the decoder,
        so that none is forgotten. Samples that are known are not taken in again: the same X once
        more means more epochs. The first call fits as `fit` does.

        The estimator refers to the samples for that; a copy of it, by pickle or joblib, does not.

        Parameters
        ----------
        X : see `fit`
        y : array-like of n_samples, optional
            Labels of the samples of X, see `fit`. Samples without any are of a class of their own
            where others have one.
        num_epochs : int, optional
            Passes over all samples; by default as many as those of `fit` in the first call, then a
            tenth. By recipe `fast` step sizes fall to 0 over them once more, from the share that
            these epochs have in all that are then done.

        Raises
        ------
        ValueError
            As `fit`; if samples are of another shape or type than those before; if those before
            were not kept.
        """
        self._validate_params()
        start = self.model_ if hasattr(self, "model_") else None
        samples = self._read(X, reset=start is None)
        labels = None if y is None else read_labels(y, len(samples))
        are_fresh = None
        if start is not None:
            if not hasattr(self, "_samples"):
                raise ValueError(
                    "a copy of the estimator does not keep the samples of before: set warm_start, "
                    "and call fit with all samples, those of before first."
                )
            typed = start.standardization is None and start.pixel_range is None
            more = samples.reshape(-1, *self.sample_shape_)
            samples, are_fresh = add_samples(self._samples, more, typed=typed)
            labels = None if labels is None else labels[are_fresh]
        if num_epochs is None:
            num_epochs = count_epochs(self, samples, goes_on=start is not None)
        check_positive_int("num_epochs", as_plain(num_epochs))
        labelled = join_labels(start, self._classes, labels, len(samples))
        named = (labelled, join_names(start, X, are_fresh))
        return self._fit(samples, start, int(num_epochs), named)

    def transform(self, X: Any) -> Any:
        """The latents of samples, inferred one by one under the frozen decoder.

        Returns
        -------
        (n_samples, latent_dims) float32
            Of what is known of each sample.

        Raises
        ------
        ValueError
            As `fit`.
        """
        check_is_fitted(self)
        return self._infer(X).latents

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Decode latents.

        Parameters
        ----------
        X : (n_samples, latent_dims)

        Returns
        -------
        (n_samples, *sample_shape_) float32
            Pixels from 0 to 1, or features in their own units.
        """
        check_is_fitted(self)
        latents = check_array(as_array("X", X), dtype="float32", input_name="X")
        return self.model_.decode(latents).reshape(-1, *self.sample_shape_)

    @property
    def embedding_(self) -> np.ndarray:
        """The latents of the training samples as training left them."""
        return self.model_.latents

    def score(self, X: Any, y: Any = None) -> float:
        """Minus the mean squared reconstruction error of known values, in the scaled space.

        Of standardised features it is, but for the sign, about the share of variance that is lost.
        """
        check_is_fitted(self)
        return -float(np.mean(self._infer(X).errors.loss, dtype=np.float64))

    @property
    def _n_features_out(self) -> int:
        return self.model_.latent_dims

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __getstate__(self) -> Any:
        state: Any = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_samples"}

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        assert tags.transformer_tags is not None  # it is a transformer
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.input_tags.allow_nan = True
        tags.non_deterministic = False
        return tags

    def _infer(self, X: Any) -> Inference:
        samples = self._read(X, reset=False)
        check_some_known(find_known(samples), "samples")
        return self.model_.infer(samples)

    def _read(self, X: Any, *, reset: bool) -> np.ndarray:
        """Samples as an array, checked as scikit-learn does; notes their number of features."""
        samples = read_samples(X, self)
        if samples.ndim == 2:
            validate_data(self, X, reset=reset, skip_check_array=True)  # number and names
        elif reset:
            self.n_features_in_: int = math.prod(samples.shape[1:])
            self.__dict__.pop("feature_names_in_", None)  # of an earlier fit
        elif samples.shape[1:] not in {self.sample_shape_, *image_forms(self.model_)}:
            raise ValueError(
                f"X must have samples of shape {self.sample_shape_}, got {samples.shape[1:]}."
            )
        return samples

    def _fit(
        self, samples: np.ndarray, start: Model | None, num_epochs: int, named: Named
    ) -> "AutoDecoder":
        """Train by some (further) epochs."""
        end = num_epochs + (0 if start is None else epochs_done(start))
        shape = choose_shape(self, samples) if start is None else self.sample_shape_
        (labels, classes), names = named
        model = fit_model(
            samples.reshape(-1, *shape),
            labels=labels,
            names=names,
            start=start,
            **fit_settings(self, samples, start, end),
        )
        if classes is not None:
            about = {**model.about, "class_names": list(classes.names)}
            model = replace(model, about=about)
        self.model_: Model = model
        self.sample_shape_ = samples.shape[1:] if start is None else self.sample_shape_
        self._samples = samples.reshape(-1, *self.sample_shape_)
        self._classes = classes
        self.reconstruction_error_: float = float(model.history["loss"][-1])
        return self
