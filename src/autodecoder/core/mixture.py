"""Mixtures of Gaussians over latents: their density, and expectation-maximisation (EM)."""

import math
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

#: Latents with up to this many dimensions have full covariances, longer ones diagonal ones.
_FULL_DIMS = 128
#: Weight, in latents, of the covariance that a component has without any latent.
_PRIOR_COUNT = 4.0
#: Least variance for each dimension, as a share of the mean variance of all latents. Rounding
#: errors of a covariance grow with its largest variance: at most the sum over the dimensions.
_FLOOR = 4 * float(jnp.finfo(jnp.float32).eps)
#: Latents that are drawn as the next mean by k-means++; the best of them is taken.
_TRIED = 4
#: Least count of latents from which the mean of a component is estimated.
_LEAST_COUNT = 1e-6
#: Most numbers that all components are computed for at once.
_AT_ONCE = 2**24


class Mixture(eqx.Module):
    """A mixture of Gaussians, `p(z) = sum_k weight_k N(z; mean_k, covariance_k)`."""

    log_weights: Float[Array, " k"]
    """Logarithms of weights that sum to 1."""
    means: Float[Array, "k dims"]
    roots: Float[Array, "k dims dims"] | Float[Array, "k dims"]
    """Roots of the inverse covariances: `root rootᵀ`, or `root²` for diagonal covariances."""

    @property
    def is_full(self) -> bool:
        """Whether covariances are full rather than diagonal."""
        return self.roots.ndim == 3

    def log_peaks(self) -> Float[Array, " k"]:
        """Log of each component's density at its mean, times its weight."""
        diagonal = jnp.diagonal(self.roots, axis1=1, axis2=2) if self.is_full else self.roots
        constant = -0.5 * self.means.shape[1] * math.log(2 * math.pi)
        return self.log_weights + jnp.log(diagonal).sum(axis=1) + constant

    def log_parts(self, latents: Float[Array, "n dims"]) -> Float[Array, "k n"]:
        """Log of `weight_k N(z; mean_k, covariance_k)`."""

        def squares(part: tuple[Array, Array]) -> Array:
            return jnp.sum(_white(latents, *part) ** 2, axis=1)

        parts = (self.means, self.roots)
        many = latents.size * len(self.means) > _AT_ONCE
        distances = jax.lax.map(squares, parts) if many else jax.vmap(squares)(parts)
        return self.log_peaks()[:, None] - 0.5 * distances

    def log_density(self, latents: Float[Array, "n dims"]) -> Float[Array, " n"]:
        """`log p(z)`, in nats."""
        return jax.nn.logsumexp(self.log_parts(latents), axis=0)

    def shares(self, latents: Float[Array, "n dims"]) -> Float[Array, "k n"]:
        """Posterior probability of each component (responsibility)."""
        return jax.nn.softmax(self.log_parts(latents), axis=0)

    def penalty(self, latents: Float[Array, "n dims"]) -> Float[Array, " n"]:
        """`-2 log p(z)`, shifted so that it is 0 or more.

        For one component, this is the squared distance from the mean in standard deviations.
        """
        return 2 * (jax.nn.logsumexp(self.log_peaks()) - self.log_density(latents))

    def expand(self, latents: Float[Array, "n dims"]) -> "Expansion":
        """Expand the penalty around latents, with the components' shares held fixed.

        With fixed shares the curvature is never negative.
        """
        shares = self.shares(latents)
        white = jax.vmap(partial(_white, latents))(self.means, self.roots)
        if self.is_full:
            slope = jnp.einsum("kn,kde,kne->nd", shares, self.roots, white)
            precisions = self.roots @ jnp.swapaxes(self.roots, 1, 2)
            curvature = jnp.einsum("kn,kde->nde", shares, precisions)
        else:
            slope = jnp.einsum("kn,kd,knd->nd", shares, self.roots, white)
            curvature = jax.vmap(jnp.diag)(shares.T @ self.roots**2)
        return Expansion(self.penalty(latents), slope, curvature)

    def curvature_along(
        self, latents: Float[Array, "n dims"], directions: Float[Array, "n dims"]
    ) -> Float[Array, " n"]:
        """`dᵀ curvature d` of `expand`, for one direction `d` of each latent."""
        lengths = jax.vmap(lambda root: jnp.sum(_whiten(directions, root) ** 2, axis=1))(self.roots)
        return jnp.sum(self.shares(latents) * lengths, axis=0)

    def rescale(self, shift: Float[Array, " dims"], scale: Float[Array, " dims"]) -> "Mixture":
        """The mixture of `shift + scale z`."""
        roots = self.roots / (scale[:, None] if self.is_full else scale)
        return Mixture(self.log_weights, shift + scale * self.means, roots)


class Expansion(NamedTuple):
    """Quadratic model of the penalty: `value + 2 slope·d + dᵀ curvature d` for a change `d` of the
    latents."""

    value: Float[Array, " n"]
    slope: Float[Array, "n dims"]
    curvature: Float[Array, "n dims dims"]


def normal(mean: Float[Array, " dims"], deviation: Float[Array, " dims"]) -> Mixture:
    """One Gaussian with a diagonal covariance."""
    return Mixture(jnp.zeros(1), mean[None], 1 / deviation[None])


def blank_mixture(n_components: int, dims: int, deviation: float) -> Mixture:
    """A mixture before any latents are known: all components at 0, with the same deviation."""
    return _equal(jnp.zeros((n_components, dims)), _identity(dims) / deviation)


def start_mixture(key: PRNGKeyArray, latents: Float[Array, "n dims"], n_components: int) -> Mixture:
    """A mixture to start EM from: means by greedy k-means++, equal weights and covariances.

    References
    ----------
    Arthur & Vassilvitskii 2007, "k-means++: the advantages of careful seeding".
    """
    n, dims = latents.shape
    scale = latents.std(axis=0)
    scaled = latents / jnp.where(scale > 0, scale, 1)

    def distances(one: Array) -> Array:
        return jnp.sum((scaled - scaled[one]) ** 2, axis=1)

    def add(carry: tuple[Array, Array], key: PRNGKeyArray) -> tuple[tuple[Array, Array], Array]:
        last, nearest = carry
        nearest = jnp.minimum(nearest, distances(last))
        # Where all latents are means already, any is as good as another.
        chances = jnp.where(nearest.max() > 0, nearest, 1)
        drawn = jax.random.categorical(key, jnp.log(chances), shape=(_TRIED,))
        left = jax.vmap(lambda one: jnp.minimum(nearest, distances(one)).sum())(drawn)
        new = drawn[left.argmin()]
        return (new, nearest), new

    first_key, *keys = jax.random.split(key, n_components)
    first = jax.random.randint(first_key, (), 0, n)
    chosen, last, nearest = first[None], first, distances(first)
    if keys:
        (last, nearest), others = jax.lax.scan(add, (first, nearest), jnp.stack(keys))
        chosen = jnp.concatenate([chosen, others])
    # Components begin as wide as latents are far from their nearest mean.
    share = jnp.minimum(nearest, distances(last)).mean() / dims
    covariance = share * (jnp.diag(scale**2) if dims <= _FULL_DIMS else scale**2)
    return _equal(latents[chosen], _root(covariance + _floor(latents)))


def improve_mixture(mixture: Mixture, latents: Float[Array, "n dims"]) -> Mixture:
    """Take one step of EM (Dempster, Laird & Rubin 1977).

    The covariance of a component has an inverse Wishart prior around the mean covariance of all
    components, and the weights have a Dirichlet prior. So components with few latents stay regular,
    and a least variance keeps the others so, as where latents lie in a plane.
    """
    shares = mixture.shares(latents)
    counts = shares.sum(axis=1)
    certain = jnp.maximum(counts, _LEAST_COUNT)[:, None]
    means = jnp.where(counts[:, None] > _LEAST_COUNT, shares @ latents / certain, mixture.means)

    def scatter(part: tuple[Array, Array]) -> Array:
        share, mean = part
        offsets = latents - mean
        if not mixture.is_full:
            return share @ offsets**2
        return jnp.matmul((share[:, None] * offsets).T, offsets, precision="highest")

    sums = jax.lax.map(scatter, (shares, means))
    pooled = sums.sum(axis=0) / counts.sum()
    over = (slice(None), *(None,) * (sums.ndim - 1))
    covariances = (sums + _PRIOR_COUNT * pooled) / (counts[over] + _PRIOR_COUNT)
    covariances += _floor(latents)
    weights = (counts + 1) / (counts.sum() + len(counts))
    return Mixture(jnp.log(weights), means, jax.vmap(_root)(covariances))


@partial(jax.jit, static_argnames=("n_components", "n_steps"))
def fit_mixture(
    key: PRNGKeyArray, latents: Float[Array, "n dims"], n_components: int, n_steps: int
) -> Mixture:
    """Fit a mixture to latents, by `n_steps` steps of EM from `start_mixture`."""
    start = start_mixture(key, latents, n_components)
    return jax.lax.fori_loop(0, n_steps, lambda _, one: improve_mixture(one, latents), start)


def _white(latents: Float[Array, "n dims"], mean: Array, root: Array) -> Float[Array, "n dims"]:
    """Offsets from the mean of a component, in its standard deviations."""
    return _whiten(latents - mean, root)


def _whiten(offsets: Float[Array, "n dims"], root: Array) -> Float[Array, "n dims"]:
    return jnp.matmul(offsets, root, precision="highest") if root.ndim == 2 else offsets * root


def _equal(means: Float[Array, "k dims"], root: Array) -> Mixture:
    """A mixture of equal weights and covariances."""
    k = len(means)
    # With a type of their own, as those of a saved mixture: else a fit that goes on compiles anew.
    log_weights = jnp.full(k, -math.log(k), jnp.float32)
    return Mixture(log_weights, means, jnp.broadcast_to(root, (k, *root.shape)))


def _floor(latents: Float[Array, "n dims"]) -> Array:
    """A covariance that keeps others above zero."""
    dims = latents.shape[1]
    mean = latents.var(axis=0).mean()
    return _FLOOR * dims * jnp.where(mean > 0, mean, 1) * _identity(dims)


def _identity(dims: int) -> Array:
    """The covariance 1, full or diagonal."""
    return jnp.eye(dims) if dims <= _FULL_DIMS else jnp.ones(dims)


def _root(covariance: Array) -> Array:
    """The root of the inverse of a covariance, see `Mixture`."""
    if covariance.ndim == 1:
        return 1 / jnp.sqrt(covariance)
    lower = jnp.linalg.cholesky(covariance)
    identity = jnp.eye(len(covariance))
    return jax.lax.linalg.triangular_solve(lower, identity, left_side=True, lower=True).T
