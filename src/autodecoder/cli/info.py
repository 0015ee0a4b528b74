"""`autodecoder info`: describe a model."""

from typing import TYPE_CHECKING

from autodecoder.cli.flags import Json
from autodecoder.cli.inputs import ModelFolder

if TYPE_CHECKING:
    from autodecoder.model import Model

#: Most characters of an image's name.
_MOST = 40


def info(model: ModelFolder, /, *, json_: Json = False) -> bool:
    """Describe a model: decoder, latents, data, errors, versions and size on disk.

    Example: autodecoder info runs/mine/best
    """
    from autodecoder.cli.console import print_json
    from autodecoder.cli.tables import print_facts
    from autodecoder.config import to_dict
    from autodecoder.core.decoders import count_weights
    from autodecoder.files import read_json
    from autodecoder.model import load_model
    from autodecoder.model.arrays import TRAINING
    from autodecoder.model.card import count_cost, model_facts
    from autodecoder.model.metrics import model_metrics, named_metrics, yardstick_of
    from autodecoder.model.saving import FILES

    trained = load_model(model)
    versions = read_json(model / "config.json").get("versions")
    versions = versions if isinstance(versions, dict) else {}
    files = (model / name for name in (*FILES, TRAINING))
    n_bytes = sum(path.stat().st_size for path in files if path.exists())
    if json_:
        yardstick = yardstick_of(trained)
        print_json(
            {
                "folder": str(model),
                "dataset": trained.about.get("dataset"),
                "sample_shape": trained.sample_shape,
                "scaler": trained.scaler,
                "decoder": to_dict(trained.decoder.config),
                "n_weights": count_weights(trained.decoder),
                "n_multiplications": count_cost(trained),
                "latent_dims": trained.latent_dims,
                "n_latents": len(trained.latents),
                "n_val_latents": len(trained.val_latents),
                "has_labels": trained.labels is not None,
                "has_names": trained.names is not None,
                "columns": _columns(trained),
                "metrics": model_metrics(trained),
                "yardstick": None if yardstick is None else yardstick.to_dict(),
                "versions": versions,
                "bytes": n_bytes,
                "about": trained.about,
            }
        )
        return False
    written = ", ".join(f"{name} {version}" for name, version in versions.items())
    facts = {
        **model_facts(trained),
        "names": _names(trained),
        "columns": ", ".join(_columns(trained)) or None,
        "written by": written or None,
        "on disk": f"{n_bytes:,} bytes",
    }
    shown = {name: f"{value:.4g}" for name, value in named_metrics(trained).items()}
    print_facts(model, {**facts, **shown})
    return False


def _names(model: "Model") -> str | None:
    """The first and last name of each set, each cut if it is long. A file holds all of them."""
    from autodecoder.data.names import FILE
    from autodecoder.text import legible

    ends = [
        f"{name}:0 {legible(names[0], _MOST)}"
        + (f" to {name}:{len(names) - 1} {legible(names[-1], _MOST)}" if len(names) > 1 else "")
        for name, names in (("train", model.names), ("val", model.val_names))
        if names is not None and len(names)
    ]
    return f"{'; '.join(ends)}; all in {FILE}" if ends else None


def _columns(model: "Model") -> list[str]:
    """The further columns of both sets."""
    return [*dict.fromkeys([*model.columns, *model.val_columns])]
