"""A trained decoder with its latents: decoding, inference, interpolation, and sampling."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from autodecoder.brief import brief
from autodecoder.config import InferConfig
from autodecoder.config.rules import as_plain, check_positive_int, check_seed, not_negative
from autodecoder.core.infer import Inference
from autodecoder.core.mixture import Mixture
from autodecoder.data.carriers import as_array
from autodecoder.data.pixels import as_numbers
from autodecoder.errors import DataError
from autodecoder.model.decoding import DecodingModel
from autodecoder.model.density import class_density, draw_latents, fit_density, spread_latents
from autodecoder.model.generated import Generated, Trace
from autodecoder.model.inference import (
    as_latent,
    draw_posterior,
    infer_samples,
    learnt_prior,
    log_density_of_images,
)
from autodecoder.model.paths import latent_path

if TYPE_CHECKING:
    from autodecoder.measures.evaluation import Evaluation


@brief
@dataclass(frozen=True, eq=False)
class Model(DecodingModel):
    """A trained decoder with the latents of its training and validation images."""

    def infer(
        self,
        images: Any,
        mask: Any = None,
        *,
        config: InferConfig | None = None,
        given: Any = None,
        seed: int = 0,
    ) -> Inference:
        """Find the latents whose reconstructions are nearest to images, under the frozen decoder.

        The search starts from latents of training images; of many, from some that `seed` selects.

        Parameters
        ----------
        images : array-like
            `(n, height, width, channels)`, `(n, height, width)` for one channel, or
            `(n, pixels)`: integers from 0 to 255, floats or booleans from 0 to 1, or values in
            `pixel_range`; masked pixels may have any value. May be a memory map. For features
            `(n, n_features)`, in their own units. Arrays, frames, tensors and lists are accepted,
            see `fit_model`. Missing values such as NaN are ignored.
        mask : array, optional
            True where a pixel counts, or weights, 0 or more; one mask per image or one for all. An
            image without a pixel that counts has errors of NaN and start -1.
        config : InferConfig, optional
            Method, starts, steps and prior. By default `density` is the prior of images with
            pixels that do not count.
        given : (n, m, latent_dims), optional
            Further starts for each image, in addition to those of `config`.
        seed : int
            From 0 to 4294967295; determines candidates and random starts.

        Returns
        -------
        Inference
            Errors are measured in the scaled space, over the pixels that count.

        Raises
        ------
        DataError
            If images, mask or given starts have a wrong shape, dtype or range.
        ConfigError
            If more candidates are configured than there are latents; if the seed is out of range.
        """
        return infer_samples(self, images, mask, config, given, seed)

    def trace(
        self,
        image: Any,
        mask: Any = None,
        *,
        config: InferConfig | None = None,
        given: Any = None,
        seed: int = 0,
    ) -> Trace:
        """Infer the latent of one image, and record the course of the search.

        Parameters
        ----------
        image : array
            One image as for `infer`, without the first axis.
        mask : array, optional
            Mask with the shape of the image.
        config, seed
            See `infer`.
        given : (m, latent_dims), optional
            Further starts.

        Returns
        -------
        Trace
            The course from the only start; with several starts, from where the best was selected.

        Raises
        ------
        DataError, ConfigError
            See `infer`.
        """
        way: list[np.ndarray] = []
        found = infer_samples(
            self,
            as_array("image", image, may_miss=True)[None],
            None if mask is None else as_array("mask", mask)[None],
            config,
            None if given is None else as_numbers("given", given)[None],
            seed,
            watch=lambda latents: way.append(latents[0]),
        )
        return Trace(np.stack(way), found)

    def reconstruct(
        self, images: Any, mask: Any = None, *, config: InferConfig | None = None, seed: int = 0
    ) -> Float[np.ndarray, "n ..."]:
        """Reconstruct images, including pixels that a mask hides; see `infer`.

        Returns
        -------
        (n, height, width, channels) float32
            Pixels from 0 to 1; NaN for an image without a pixel that counts. For features
            (n, n_features), in their own units.
        """
        return self.decode_inferred(self.infer(images, mask, config=config, seed=seed))

    def decode_inferred(self, found: Inference) -> Float[np.ndarray, "n ..."]:
        """Decode a result of `infer` to reconstructions, as `reconstruct` returns them."""
        images = self.decode(found.latents)
        images[np.isnan(found.errors.loss)] = np.nan
        return images

    def interpolate(
        self,
        a: Any,
        b: Any,
        n: int = 10,
        *,
        path: str = "linear",
        config: InferConfig | None = None,
        seed: int = 0,
    ) -> Generated:
        """Decode latents on a path from one latent or image to another.

        Parameters
        ----------
        a, b : (latent_dims,) or an image
            A vector of `latent_dims` numbers is a latent. For an image, as for `infer`, the latent
            is inferred.
        n : int
            Number of latents, including both ends.
        path : str
            `linear`, `spherical` (around the mean latent; Shoemake 1985) or `data` (through dense
            regions of the training latents; Groisman et al. 2022).
        config, seed
            Used to infer the latents of images.

        Returns
        -------
        Generated
            `n` latents and their decoded images.

        Raises
        ------
        DataError
            If an end is neither a latent nor an image, or is not finite.
        ConfigError
            If there is no such path, or `n` is below 2.
        """
        ends = [as_latent(self, name, end, config, seed) for name, end in (("a", a), ("b", b))]
        latents = latent_path(ends[0], ends[1], as_plain(n), path, self.latents)
        return Generated(latents, self.decode(latents))

    def draw(
        self,
        images: Any,
        mask: Any = None,
        n: int = 8,
        *,
        config: InferConfig | None = None,
        temperature: float | int = 1.5,
        seed: int = 0,
    ) -> Generated:
        """Draw several reconstructions of each image; where they differ, pixels are uncertain.

        Latents are drawn from a Gaussian around the inferred latent whose covariance is the inverse
        of the Hessian there (Laplace's approximation of the posterior). The variance of a pixel
        over the draws, plus the training error, estimates the squared error of the pixel.

        Draws need a prior: that of `infer`, or for complete images, if it has none, that of others.

        Parameters
        ----------
        images, mask, config, seed
            See `infer`.
        n : int
            Draws for each image.
        temperature : float
            Factor on the standard deviations of the latents. The default makes this estimate about
            right where half of an image is hidden (`benchmarks/hidden.py`).

        Returns
        -------
        Generated
            Latents (n_images, n, latent_dims), and images (n_images, n, height, width, channels);
            NaN for an image without a pixel that counts.

        Raises
        ------
        DataError, ConfigError
            See `infer`; if the model has no training error or fewer than two latents; if `n` is
            below 1, `temperature` below 0, or the prior's weight 0.
        """
        check_positive_int("n", n := as_plain(n))
        not_negative("temperature", temperature := as_plain(temperature))
        latents = draw_posterior(self, images, mask, n, config, temperature, seed)
        made = self.decode(latents.reshape(-1, self.latent_dims))
        return Generated(latents, made.reshape(len(latents), n, *self.sample_shape))

    def sample(
        self, n: int, *, label: int | str | None = None, temperature: float = 1.0, seed: int = 0
    ) -> Generated:
        """Draw latents from `density` and decode them to new images.

        Parameters
        ----------
        n : int
        label : int or str, optional
            Class of the images, by number as in `labels` or by name: latents are then drawn from a
            density of the training latents of this class.
        temperature : float
            Factor on the standard deviations of the density's components; 0 draws their means.
        seed : int
            From 0 to 4294967295.

        Returns
        -------
        Generated
            Latents (n, latent_dims), and images (n, height, width, channels).

        Raises
        ------
        DataError
            If there are fewer than two training latents, or none of the class.
        ConfigError
            If `n` is below 1, or temperature or seed is out of range.
        """
        check_positive_int("n", n := as_plain(n))
        check_seed("seed", seed := as_plain(seed))
        not_negative("temperature", temperature := as_plain(temperature))
        density = self.density if label is None else class_density(self, as_plain(label))
        latents = draw_latents(density, n, seed, temperature)
        return Generated(latents, self.decode(latents))

    def evaluate(
        self,
        images: Any,
        labels: Any = None,
        mask: Any = None,
        *,
        train_images: Any = None,
        train_labels: Any = None,
        config: InferConfig | None = None,
        n_images: int = 10_000,
        n_subset: int = 5_000,
        seed: int = 0,
        report: Callable[[str], None] = lambda _: None,
    ) -> "Evaluation":
        """Measure reconstructions of images, the structure of their latents, and new samples.

        `docs/evaluate.md` has the definition of each measure. A measure that the images do not
        allow is left out, with the reason in `left_out`.

        Parameters
        ----------
        images, mask
            Images that were not trained on, as for `infer`.
        labels : (n,) int, optional
            Their classes, counted as `self.labels`.
        train_images, train_labels : optional
            Images and labels (by default `self.labels`) to train a small classifier on. Without
            them it is trained on a random half of `images`, and the other half is compared.
        config
            Used to infer the latents of `images`.
        n_images : int
            Most images that are evaluated; of more, so many are drawn at random.
        n_subset : int
            Most images for measures whose cost grows with their square, and most samples.
        seed : int
            Determines which images are used, samples, the classifier, and the candidates of
            inference.
        report : callable
            Called with the name of each step when it begins.

        Raises
        ------
        DataError
            See `infer`; if labels or training images do not match; if the reconstructions are not
            finite.
        ConfigError
            See `infer`; if a number is below 1.
        """
        from autodecoder.model.evaluate import evaluate_model

        return evaluate_model(
            *(self, images, labels, mask),
            train_images=train_images,
            train_labels=train_labels,
            config=config,
            n_images=n_images,
            n_subset=n_subset,
            seed=seed,
            report=report,
        )

    @cached_property
    def density(self) -> Mixture:
        """The mixture of Gaussians for the training latents, fitted at first use.

        A fit with a prior says how many components it has. With `latent_deviations`, one latent is
        drawn for each image.
        """
        learnt = learnt_prior(self)
        n_components = None if learnt is None else learnt.count_components()
        return fit_density(spread_latents(self), n_components)

    def log_density(
        self,
        latents: Any = None,
        *,
        images: Any = None,
        mask: Any = None,
        config: InferConfig | None = None,
        seed: int = 0,
    ) -> Float[np.ndarray, " n"]:
        """The log density of latents under `density`, or that of images, in nats.

        Images that are unlike the training images have a low density. For an image `x` of `n` known
        pixels, and its most probable latent `z` of `d` dimensions, it is Laplace's approximation::

            log p(x) = log p(x | z) + log p(z) + d/2 log 2 pi - 1/2 log det H
            log p(x | z) = -n/2 log 2 pi s^2 - |x - decode(z)|^2 / (2 s^2)

        in the scaled space. `s^2` is the training error of the last epoch, `p(z)` is `density`, and
        `H` the Hessian of `-log p(x | z) - log p(z)` by Gauss-Newton.

        Parameters
        ----------
        latents : (n, latent_dims), optional
        images, mask, config, seed : optional
            Images instead of latents, see `infer`. The weight of the prior is 1.

        Returns
        -------
        (n,)
            NaN for an image without a pixel that counts.

        Raises
        ------
        DataError, ConfigError
            See `infer`; if both or none of latents and images are given; if the loss of the model
            is not mse.

        References
        ----------
        MacKay 2003, "Information theory, inference, and learning algorithms", chapter 27.
        """
        if (latents is None) == (images is None):
            raise DataError("log_density takes either latents or images=….")
        if images is None and (mask is not None or config is not None):
            raise DataError("mask and config of log_density are for images, not for latents.")
        if images is not None:
            return log_density_of_images(self, images, mask, config, seed)
        return np.asarray(self.density.log_density(jnp.asarray(self.as_latents(latents))))

    def cluster(self, latents: Any) -> Int[np.ndarray, " n"]:
        """The likeliest component of `density` for each latent.

        Parameters
        ----------
        latents : (n, latent_dims)
        """
        return np.asarray(self.density.shares(jnp.asarray(self.as_latents(latents))).argmax(axis=0))
