"""Upload and download of model directories to and from the Hugging Face Hub."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import equinox as eqx

from autodecoder.data.download import bars_may_be_text
from autodecoder.errors import AutodecoderError, ConfigError, DataError, OutputError
from autodecoder.model.loading import load_model
from autodecoder.model.model import Model
from autodecoder.model.saving import FILES, save_model
from autodecoder.paths import user_path

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def push_to_hub(
    model: Model,
    repo_id: str,
    *,
    private: bool = False,
    token: str | None = None,
    commit_message: str = "Upload model",
) -> str:
    """Upload a model to the Hub, as one commit to the main branch of a repository.

    The whole model directory is uploaded, including the latents of the training images. Other files
    of the repository are not changed.

    Parameters
    ----------
    model : Model
    repo_id : str
        Owner and name, for example "me/digits"; the repository is created if it does not exist.
    private : bool
        Whether a new repository is private; an existing one is not changed.
    token : str, optional
        A token with write permission; by default that of `hf auth login`, or `$HF_TOKEN`.
    commit_message : str

    Returns
    -------
    str
        The repository's address.

    Raises
    ------
    ConfigError
        If `huggingface_hub` is not installed, or the repository's name breaks the Hub's rules.
    OutputError
        If permission is missing, or the Hub cannot be reached or refuses the files.
    """
    api = _client(token)
    from huggingface_hub import CommitOperationAdd

    with tempfile.TemporaryDirectory(prefix="autodecoder-") as folder:
        save_model(model, Path(folder))
        try:
            with _without_bars():
                url = api.create_repo(repo_id, private=private, exist_ok=True)
                # Not `upload_folder`, which may split the upload into several commits.
                api.create_commit(
                    url.repo_id,
                    [
                        CommitOperationAdd(path.name, str(path))
                        for path in sorted(Path(folder).iterdir())
                        if path.name in FILES
                    ],
                    commit_message=commit_message,
                )
        except Exception as error:
            raise _explain(error, OutputError, f"{repo_id} cannot be uploaded") from error
    return str(url)


def from_pretrained(
    repo_id_or_folder: str | Path,
    *,
    revision: str | None = None,
    token: str | None = None,
    cache_dir: str | Path | None = None,
    decoder: eqx.Module | None = None,
) -> Model:
    """Load a model from the Hub, or from a folder on this machine.

    Only the files of a model directory are downloaded. They are kept in the Hub's cache, which also
    works without a network. Nothing in them is executed, and every array is checked; see
    `load_model`.

    Parameters
    ----------
    repo_id_or_folder : str or Path
        Owner and name of a repository, or a folder. If both exist, the folder is loaded.
    revision : str, optional
        Branch, tag or commit of the repository; by default the main branch.
    token : str, optional
        Token for private repositories; by default that of `hf auth login`, or `$HF_TOKEN`.
    cache_dir : str or Path, optional
        Folder for downloads; by default the Hub's own cache.
    decoder : equinox.Module, optional
        See `load_model`.

    Raises
    ------
    ConfigError
        If `huggingface_hub` is not installed, or the repository's name breaks the Hub's rules.
    DataError
        If repository, revision, permission, or network is missing, or the repository holds no
        model.
    """
    if isinstance(repo_id_or_folder, Path) or user_path(repo_id_or_folder, "folder").is_dir():
        return load_model(repo_id_or_folder, decoder=decoder)
    no_folder = f"{repo_id_or_folder} is no folder here"
    api = _client(token, f"{no_folder}, and ")
    try:
        with _without_bars():
            folder = api.snapshot_download(
                repo_id_or_folder,
                revision=revision,
                cache_dir=None if cache_dir is None else user_path(cache_dir, "cache_dir"),
                allow_patterns=list(FILES),
            )
    except Exception as error:
        raise _explain(error, DataError, f"{no_folder} and cannot be downloaded") from error
    return load_model(folder, decoder=decoder)


def _client(token: str | None, before: str = "") -> "HfApi":
    """Create the Hub's client; `before` is the start of the message if it is not installed."""
    try:
        with bars_may_be_text():
            from huggingface_hub import HfApi
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{before}huggingface_hub is not installed; pip install 'autodecoder[hub]' brings it."
        ) from error
    return HfApi(token=token, library_name="autodecoder")


@contextlib.contextmanager
def _without_bars() -> Iterator[None]:
    """Turn the client's progress bars off, unless its environment variable is set."""
    with bars_may_be_text():
        from huggingface_hub.constants import HF_HUB_DISABLE_PROGRESS_BARS
        from huggingface_hub.utils import (
            are_progress_bars_disabled,
            disable_progress_bars,
            enable_progress_bars,
        )

    if are_progress_bars_disabled() or HF_HUB_DISABLE_PROGRESS_BARS is not None:
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _explain(error: Exception, kind: type[AutodecoderError], what: str) -> AutodecoderError:
    """Convert an exception of the client to an error of the given kind with one sentence.

    Depending on version and transfer method, the client raises its own errors, errors of three HTTP
    libraries, or a RuntimeError from its threads, whose cause is the reason.
    """
    from huggingface_hub import constants, errors

    while isinstance(error, errors.LocalEntryNotFoundError | RuntimeError):
        if not isinstance(error.__cause__, Exception):
            break
        error = error.__cause__
    text = " ".join(str(error).split()).removesuffix(".") or type(error).__name__
    if isinstance(error, errors.HFValidationError):
        return ConfigError(f"repo_id must be owner/name on the Hub, or a folder: {text}.")
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        reason = "it is gated; accept its terms on its page and give the token of that account"
    elif isinstance(error, errors.RepositoryNotFoundError):
        reason = "there is no such repository that the token may see; check name and token"
    elif isinstance(error, errors.RevisionNotFoundError):
        reason = "there is no such revision; name a branch, a tag or a commit of the repository"
    elif status == 401:
        reason = "the Hub wants a valid token; give one, or log in by `hf auth login`"
    elif status == 403:
        reason = "the token does not permit it; give one that does"
    elif status is not None:
        reason = f"the Hub answered with status {status}"
    elif isinstance(error, ConnectionError | errors.LocalEntryNotFoundError) or (
        type(error).__module__.split(".")[0] in ("requests", "httpx", "httpx2", "httpcore2")
    ):
        reason = f"{constants.ENDPOINT} is not reached; check the network and $HF_HUB_OFFLINE"
    else:
        reason = getattr(error, "strerror", None) or text
    return kind(f"{what}: {reason}.")
