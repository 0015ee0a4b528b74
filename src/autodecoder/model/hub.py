"""Models on the Hugging Face Hub: a model directory is uploaded as it is, and comes back so."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import equinox as eqx

from autodecoder.data.download import bars_may_be_text
from autodecoder.errors import AutodecoderError, ConfigError, DataError, OutputError
from autodecoder.model.files import FILES, load_model, save_model
from autodecoder.model.model import Model
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

    It is the whole directory of the model that is uploaded, the latents of the training images
    included. Files of the repository that are no part of a model stay as they are.

    Parameters
    ----------
    model : Model
    repo_id : str
        Owner and name, for example "me/digits"; it is made if there is none.
    private : bool
        Whether a repository that is made is private; one that exists stays what it is.
    token : str, optional
        With write permission; by default the one that `hf auth login` has kept, or `$HF_TOKEN`.
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
        If there is no permission, the Hub cannot be reached or refuses the files.
    """
    api = _client(token)
    from huggingface_hub import CommitOperationAdd

    with tempfile.TemporaryDirectory(prefix="autodecoder-") as folder:
        save_model(model, Path(folder))
        try:
            with _without_bars():
                url = api.create_repo(repo_id, private=private, exist_ok=True)
                # Not `upload_folder`, which may make several commits of it.
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

    Of a repository only the files of a model directory are downloaded, whatever else is there;
    they are kept in the Hub's cache, which serves without a network too. Nothing in them is
    executed, and every array is checked; see `load_model`.

    Parameters
    ----------
    repo_id_or_folder : str or Path
        Owner and name of a repository, or a folder; a folder of that name comes first.
    revision : str, optional
        Branch, tag or commit of the repository; by default the main branch.
    token : str, optional
        For private repositories; by default the one that `hf auth login` has kept, or
        `$HF_TOKEN`.
    cache_dir : str or Path, optional
        By default the Hub's own cache.
    decoder : equinox.Module, optional
        See `load_model`.

    Raises
    ------
    ConfigError
        If `huggingface_hub` is not installed, or the repository's name breaks the Hub's rules.
    DataError
        If there is no such repository or revision, no permission, no network, or no model.
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
    """The Hub's client; `before` begins the sentence if it is missing."""
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
    """The client's progress bars off, unless its own variable asks for them."""
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
    """What the client raised, as a sentence.

    What that can be depends on its version and on how it transfers files: its own errors, those of
    three HTTP libraries, and RuntimeError from its threads, with the reason as its cause.
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
