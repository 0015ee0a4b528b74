"""`autodecoder explore`: explore a model in the browser."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from autodecoder.cli.flags import path_flag, whole_number
from autodecoder.cli.inputs import (
    NOT_NAMED,
    Resize,
    TrainedOn,
    data_of_model,
    open_model,
    open_samples,
    title_of,
)
from autodecoder.errors import ConfigError, DataError

if TYPE_CHECKING:
    from autodecoder.data import Dataset
    from autodecoder.explorer import Shelf
    from autodecoder.model import Model


def explore(
    folder: Annotated[Path, path_flag(help="Folder of a model or a study.")],
    /,
    *,
    images: Annotated[
        str | None,
        Parameter(
            help="Images to choose from, as for `reconstruct`. By default the training images, if "
            "you trained on them from this account, or they are a published data set, or --dataset "
            "names them."
        ),
    ] = None,
    named: TrainedOn = NOT_NAMED,
    resize: Resize = False,
    host: Annotated[
        str, Parameter(help="Address to listen on; 0.0.0.0 accepts other machines.")
    ] = "127.0.0.1",
    names: Annotated[
        tuple[str, ...],
        Parameter(
            name="name",
            help="Additional host name that browsers use for this server, for example behind a "
            "proxy. Repeatable.",
        ),
    ] = (),
    port: Annotated[
        int, Parameter(converter=whole_number, help="Port to listen on; 0 chooses a free one.")
    ] = 8050,
    open_: Annotated[
        bool, Parameter(name="open", show_default=False, help="Open the page in a browser.")
    ] = False,
) -> bool:
    """Explore a model in the browser: move over its map, and place images on it.

    For a study, it shows the model in best/; without it, the best run after its last epoch.

    Needs the extra: pip install 'autodecoder[explorer]'

    Example: autodecoder explore runs/mine/best
    """
    missing = [name for name in ("flask", "waitress") if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"{' and '.join(missing)} must be installed: pip install 'autodecoder[explorer]'."
        )
    import contextlib
    import signal
    import threading
    import webbrowser

    import numpy as np

    from autodecoder.cli.console import console, handling, saying

    dataset = None
    with contextlib.ExitStack() as stack, saying("opening the model and its images"):
        from autodecoder.data.decode import quiet_pillow
        from autodecoder.explorer import Explorer, Shelf, create_app, listen, open_server

        listening = stack.enter_context(listen(host, port))
        trained = _open(folder)
        if images is None:
            shelves, dataset, why = _own_images(trained, named)
            if why:
                console.print(f"No images to choose from: {why}", highlight=False)
        else:
            given = open_samples(trained, images, resize=resize)
            names_ = None if given.names is None else np.array(given.names, object)
            pixel_range = None if given.names else trained.pixel_range
            shelf = Shelf(given.samples, None, pixel_range, names_, given.mask)
            shelves = {"images": shelf}
        explorer = Explorer(trained, shelves, dataset)
        app = create_app(explorer, title=title_of(trained, folder), hosts=[host, *names])
        server = open_server(app, listening)
        stack.pop_all()  # the server now owns the socket
    address = f"http://{f'[{host}]' if ':' in host else host}:{server.port}/"
    with quiet_pillow(), contextlib.suppress(KeyboardInterrupt):
        threading.Thread(target=explorer.warm_up, daemon=True).start()
        console.print(f"{address}  (Ctrl-C stops it)", highlight=False)
        if open_:
            webbrowser.open(address)
        server.run()
    with handling([signal.SIGINT], signal.SIG_IGN):  # one Ctrl-C is enough
        explorer.close()
    return False


def _open(folder: Path) -> "Model":
    """Open a model, or the best model of a study."""
    from autodecoder.cli.programs import keep_programs
    from autodecoder.study import load_study

    if not (folder / "trials").is_dir():
        return open_model(folder)
    keep_programs()
    found = load_study(folder).best_model()
    if found is None:
        raise DataError(f"the study in {folder} has no model to show yet.")
    return found


def _own_images(model: "Model", named: TrainedOn) -> "tuple[dict[str, Shelf], Dataset | None, str]":
    """The training and validation images of a model, or the reason why there are none."""
    from autodecoder.explorer import Shelf

    try:
        dataset = data_of_model(model, named)
    except (ConfigError, DataError) as error:
        if named:
            raise
        return {}, None, f"{error} Use --images for others."
    sets = {"validation": dataset.val, "training": dataset.train}
    shelves = {
        name: Shelf(
            images.images,
            images.labels,
            names=images.names,
            mask=images.mask,
            columns=images.columns,
        )
        for name, images in sets.items()
        if len(images)
    }
    return shelves, dataset, ""
