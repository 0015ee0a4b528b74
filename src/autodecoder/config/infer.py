"""Settings of latent inference."""

from dataclasses import dataclass

from autodecoder.config.rules import (
    check_count,
    check_learning_rate,
    not_negative,
    number,
    one_of,
    some_of,
)
from autodecoder.config.setting import Settings, setting
from autodecoder.errors import ConfigError

INFER_METHODS = ("auto", "lm", "lbfgs", "adam")
INFER_STARTS = ("nearest", "zeros", "random")

#: Most dimensions for which a Hessian per image pays off; and defaults by method.
_LM_DIMS = 128
_STEPS = {"lm": 100, "lbfgs": 300, "adam": 500}
_N_CANDIDATES = 16_000
#: Most pixels of all decoded candidates together, by default.
_CANDIDATE_PIXELS = 2**26
#: Images per block by default. On an accelerator, larger blocks hide the delay of the host.
_BLOCK_SIZE = 256
_ACCELERATOR_BLOCK_SIZE = 2048
#: Default weight of the prior for images with missing pixels, and the largest weight.
_PRIOR_WEIGHT, _MOST_PRIOR_WEIGHT = 20.0, 1e6


def _check_prior_weight(name: str, value: float) -> None:
    not_negative(name, value)
    number(lambda v: v <= _MOST_PRIOR_WEIGHT, f"must be at most {_MOST_PRIOR_WEIGHT:g}")(
        name, value
    )


@dataclass(frozen=True)
class InferConfig(Settings):
    """Latent inference: the search for the latents of unseen images under a frozen decoder."""

    method: str = setting(
        "auto",
        "Solver: lm, Levenberg-Marquardt with quasi-Newton updates; lbfgs, limited-memory "
        "quasi-Newton; adam; auto, which is adam for the loss laplacian, otherwise lm up to "
        f"{_LM_DIMS} dimensions and lbfgs above.",
        flag=None,
        called="infer.method",
        check=one_of(INFER_METHODS),
        since=(3, "adam"),
    )
    starts: tuple[str, ...] = setting(
        ("nearest",),
        "Starts of the search: nearest, the decoded candidate nearest to the image; zeros; random. "
        "With several starts, the search continues from the best.",
        flag=None,
        called="infer.starts",
        check=some_of(INFER_STARTS),
        since=(3, ["nearest"]),
    )
    n_starts: int = setting(
        1, "Number of nearest starts and of random starts.", flag=None, since=(3, 1)
    )
    n_candidates: int | None = setting(
        None,
        "Number of training latents that are decoded as candidates for starts. By default 16,000, "
        "limited to all training latents and to 67 million pixels in total.",
        flag=None,
    )
    n_steps: int | None = setting(
        None,
        f"Largest number of steps; by default {_STEPS['lm']} for lm, {_STEPS['lbfgs']} for lbfgs "
        f"and {_STEPS['adam']} for adam, which always takes all of them.",
        flag=None,
    )
    tolerance: float = setting(
        1e-5,
        "An image has converged when the predicted decrease of a step is below this share of its "
        "loss.",
        flag=None,
        called="infer.tolerance",
        check=not_negative,
        since=(3, 0.0),
    )
    step_size: float = setting(
        0.2,
        "Initial step size of Adam's cosine decay, in standard deviations of the candidates.",
        flag=None,
        check=check_learning_rate,
    )
    prior_weight: float | None = setting(
        None,
        "Weight of the log density of the latents (the prior) against the log likelihood of the "
        "pixels: 1 is Bayes' rule for independent errors, but errors of nearby pixels are alike. "
        f"By default {_PRIOR_WEIGHT:g} for images with missing pixels and 0 for others, in studies "
        "0; after a fit with a prior at least the weight of the fit.",
        flag=None,
        called="infer.prior_weight",
        check=_check_prior_weight,
        since=(9, 0.0),
    )
    fresh_every: int = setting(
        0,
        "Epochs between fresh validations during a run; 0: only after the last epoch.",
        check=check_count,
        since=(3, 0),
    )
    block_size: int | None = setting(
        None,
        "Images inferred together. Memory grows with it; 1 is fastest for single images. "
        f"By default {_BLOCK_SIZE}, on an accelerator {_ACCELERATOR_BLOCK_SIZE:,}.",
        flag=None,
    )

    def method_for(self, latent_dims: int, loss: str = "mse") -> str:
        """The solver for latents of this length and a reconstruction loss."""
        if self.method != "auto":
            return self.method
        if loss == "laplacian":  # its kinks mislead solvers that build a quadratic model
            return "adam"
        return "lm" if latent_dims <= _LM_DIMS else "lbfgs"

    @property
    def prior_weight_or_default(self) -> float:
        """`prior_weight`, or its default for images with pixels that do not count."""
        return _PRIOR_WEIGHT if self.prior_weight is None else self.prior_weight

    def steps_for(self, method: str) -> int:
        """The largest number of steps of a solver."""
        if self.n_steps is not None:
            return self.n_steps
        return _STEPS[method]

    def block_size_for(self, *, accelerator: bool) -> int:
        """Images per block, on a CPU or on an accelerator."""
        if self.block_size is not None:
            return self.block_size
        return _ACCELERATOR_BLOCK_SIZE if accelerator else _BLOCK_SIZE

    def count_candidates(self, n_latents: int, n_pixels: int) -> int:
        """The number of candidates among `n_latents` latents of images of `n_pixels` pixels."""
        n = self.n_candidates
        if n is None:
            most = max(_CANDIDATE_PIXELS // n_pixels, self.n_starts)
            n = min(_N_CANDIDATES, most, n_latents)
        if n > n_latents:
            raise ConfigError(
                f"n_candidates must not exceed the number of training latents, {n_latents}, "
                f"got {n}."
            )
        if "nearest" in self.starts and self.n_starts > n:
            raise ConfigError(
                f"n_starts must not exceed the number of candidates, {n}, got {self.n_starts}."
            )
        return n
