"""Names that parameters have in other libraries: an error says what they are called here."""

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec

from autodecoder.errors import ConfigError

_Parameters = ParamSpec("_Parameters")

#: What other libraries call a parameter, by its name here.
_ELSEWHERE = {
    "latent_dims": ("n_components", "n_latent", "n_latents", "n_dims", "latent_dim", "latent_size"),
    "arch": ("hidden_layer_sizes", "hidden_dims", "hidden_sizes", "layers"),
    "image_shape": ("img_shape", "input_shape"),
    "num_epochs": ("n_epochs", "epochs", "max_epochs", "max_iter", "n_iter"),
    "learning_rate": ("lr", "learning_rate_init"),
    "random_state": ("random_seed", "seed"),
    "verbose": ("progress", "progress_bar", "verbosity"),
    "callback": ("callbacks",),
    "dropout_rate": ("dropout",),
}
_NAME_HERE = {other: name for name, others in _ELSEWHERE.items() for other in others}
#: What UMAP and t-SNE take, and why it has no counterpart.
_GRAPH = "it trains a decoder on the samples, and builds no graph of neighbours"
_NO_COUNTERPART = {
    "n_neighbors": _GRAPH,
    "min_dist": _GRAPH,
    "metric": "it compares samples by the squared error of their reconstructions",
    "perplexity": _GRAPH,
    "n_jobs": "it uses all cores of the CPU, or the GPU",
}


def tell_unknown(owner: str, given: Iterable[str], known: Iterable[str]) -> str | None:
    """What to say of the first name that is no parameter; `None` where all are known."""
    known = list(known)
    for name in given:
        if name in known:
            continue
        if name in _NAME_HERE:
            return f"{owner} has no parameter {name}: it is called {_NAME_HERE[name]} here."
        if name in _NO_COUNTERPART:
            return f"{owner} has no parameter {name}: {_NO_COUNTERPART[name]}."
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}."
        return f"{owner} has no parameter {name}; {hint}"
    return None


class ExplainsNames:
    """Lets `set_params` explain parameters that the estimator does not have."""

    def set_params(self, **params: Any) -> Any:
        """Set parameters by name.

        Raises
        ------
        ConfigError
            If there is no such parameter; it says what the parameter is called here.
        """
        own: Any = self
        unknown = tell_unknown(type(self).__name__, params, own._get_param_names())
        if unknown is not None:
            raise ConfigError(unknown)
        base: Any = super()
        return base.set_params(**params)


def explains_names(init: Callable[_Parameters, None]) -> Callable[_Parameters, None]:
    """Let a constructor explain parameters that it does not have.

    Python's own `TypeError` is raised, with another message. The signature stays as it is, so that
    scikit-learn, editors and type checkers read it as before.

    Raises
    ------
    TypeError
        By the constructor, of the first such parameter.
    """
    _, *known = inspect.signature(init).parameters

    @functools.wraps(init)
    def explained(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> None:
        unknown = tell_unknown(type(args[0]).__name__, kwargs, known)
        if unknown is not None:
            raise TypeError(unknown)
        init(*args, **kwargs)

    return explained
