"""`autodecoder export`: write a trained decoder as an ONNX file."""

from pathlib import Path
from typing import Annotated

from autodecoder.cli.flags import Json, path_flag


def export(
    model: Annotated[Path, path_flag(help="Folder of a model, such as `best` in a study.")],
    /,
    *,
    out: Annotated[Path, path_flag(help="The ONNX file; an existing file is replaced.")],
    json_: Json = False,
) -> bool:
    """Write the decoder as an ONNX file that maps latents (n, latent_dims) to images.

    The images are float32 from 0 to 1, (n, height, width, channels); see docs/export.md.
    Needs the extra: pip install 'autodecoder[onnx]'

    Example: autodecoder export runs/mine/best --out decoder.onnx
    """
    from autodecoder.cli.console import console, print_json
    from autodecoder.model import export_onnx, load_model

    trained = load_model(model)
    export_onnx(trained, out)
    n_bytes = out.stat().st_size
    if json_:
        print_json(
            {
                "out": str(out),
                "bytes": n_bytes,
                "latent_dims": trained.latent_dims,
                "image_shape": trained.sample_shape,
                "scaler": trained.scaler,
            }
        )
        return False
    sides = " × ".join(map(str, trained.sample_shape))
    samples = "images" if trained.standardization is None else "features"
    console.print(
        f"{out}: latents of {trained.latent_dims} to {samples} of {sides}, {n_bytes:,} bytes",
        highlight=False,
    )
    return False
