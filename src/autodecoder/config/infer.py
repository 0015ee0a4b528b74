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

#: Dimensions up to which a Hessian for each image pays; and defaults by method.
_LM_DIMS = 128
_STEPS = {"lm": 100, "lbfgs": 300, "adam": 500}
_N_CANDIDATES = 16_000
#: Pixels of all decoded candidates together, at most, by default.
_CANDIDATE_PIXELS = 2**26
#: Images in a block by default. An accelerator waits more for the host than for its own work.
_BLOCK_SIZE = 256
_ACCELERATOR_BLOCK_SIZE = 2048
#: Of the prior, by default, of images with missing pixels; and the most.
_PRIOR_WEIGHT, _MOST_PRIOR_WEIGHT = 10.0, 1e6


def _check_prior_weight(name: str, value: float) -> None:
    not_negative(name, value)
    number(lambda v: v <= _MOST_PRIOR_WEIGHT, f"must be at most {_MOST_PRIOR_WEIGHT:g}")(
        name, value
    )


@dataclass(frozen=True)
class InferConfig(Settings):
    """Latent inference: how latents of unseen images are found under a frozen decoder."""

    method: str = setting(
        "auto",
        "Solver: lm, Levenberg-Marquardt with quasi-Newton updates; lbfgs, limited-memory "
        f"quasi-Newton; adam; auto, lm up to {_LM_DIMS} dimensions, then lbfgs; adam for the loss "
        "laplacian.",
        flag=None,
        called="infer.method",
        check=one_of(INFER_METHODS),
        since=(3, "adam"),
    )
    starts: tuple[str, ...] = setting(
        ("nearest",),
        "Where the search starts: nearest, at the decoded candidate nearest to the image; zeros; "
        "random. Several race, and the best goes on.",
        flag=None,
        called="infer.starts",
        check=some_of(INFER_STARTS),
        since=(3, ["nearest"]),
    )
    n_starts: int = setting(
        1, "How many of each of the nearest and random starts.", flag=None, since=(3, 1)
    )
    n_candidates: int | None = setting(
        None,
        "How many training latents are decoded in the search for starts; by default 16,000, or all "
        "where there are fewer, or as many as have 67 million pixels.",
        flag=None,
    )
    n_steps: int | None = setting(
        None,
        f"Steps at most; by default {_STEPS['lm']} of lm, {_STEPS['lbfgs']} of lbfgs, and "
        f"{_STEPS['adam']} of adam, which takes all of them.",
        flag=None,
    )
    tolerance: float = setting(
        1e-5,
        "An image has converged when a step promises less than this share of its loss.",
        flag=None,
        called="infer.tolerance",
        check=not_negative,
        since=(3, 0.0),
    )
    step_size: float = setting(
        0.2,
        "First step of Adam's cosine decay, in standard deviations of the candidates.",
        flag=None,
        check=check_learning_rate,
    )
    prior_weight: float | None = setting(
        None,
        "Weight of the latents' log density beside the log likelihood of the pixels; 1 as in "
        "Bayes' rule, more as errors of nearby pixels are alike. By default "
        f"{_PRIOR_WEIGHT:g} for images with pixels that do not count, and 0 for others; 0 in a "
        "study.",
        flag=None,
        called="infer.prior_weight",
        check=_check_prior_weight,
        since=(9, 0.0),
    )
    fresh_every: int = setting(
        0,
        "Epochs between fresh validations of a run under way; 0: after the last epoch only.",
        check=check_count,
        since=(3, 0),
    )
    block_size: int | None = setting(
        None,
        "Images placed at once, be there as many or not: a bound on memory; 1 places single images "
        f"fastest. By default {_BLOCK_SIZE}, on an accelerator {_ACCELERATOR_BLOCK_SIZE:,}.",
        flag=None,
    )

    def method_for(self, latent_dims: int, loss: str = "mse") -> str:
        """The solver for latents of a length, under a reconstruction loss."""
        if self.method != "auto":
            return self.method
        if loss == "laplacian":  # its kinks hold up those that build a quadratic model
            return "adam"
        return "lm" if latent_dims <= _LM_DIMS else "lbfgs"

    @property
    def prior_weight_or_default(self) -> float:
        """`prior_weight`, or its default for images with pixels that do not count."""
        return _PRIOR_WEIGHT if self.prior_weight is None else self.prior_weight

    def steps_for(self, method: str) -> int:
        """The most steps of a solver."""
        if self.n_steps is not None:
            return self.n_steps
        return _STEPS[method]

    def block_size_for(self, *, accelerator: bool) -> int:
        """Images in a block, on a CPU or on an accelerator."""
        if self.block_size is not None:
            return self.block_size
        return _ACCELERATOR_BLOCK_SIZE if accelerator else _BLOCK_SIZE

    def count_candidates(self, n_latents: int, n_pixels: int) -> int:
        """How many of so many latents of images of so many pixels are candidates."""
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
