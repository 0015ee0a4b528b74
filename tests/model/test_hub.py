"""Models go to a Hub and come back bit for bit; nothing but their own files is fetched."""

import pickle
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.model.hub_server import READER, WRITER, Hub, Repository, serve
from tests.model.test_files import NAMED, make

from autodecoder.errors import AutodecoderError, ConfigError, DataError, OutputError
from autodecoder.model import Model, from_pretrained, push_to_hub, save_model
from autodecoder.model.saving import FILES

client = pytest.importorskip("huggingface_hub", reason="the extra hub is not installed")

# The client's own, from transfers without xet.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")

NAME = "me/digits"


@pytest.fixture(scope="module")
def model() -> Model:
    return replace(make(), **NAMED)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty Hub that this process knows as the only one, with an empty cache and no token."""
    constants = pytest.importorskip("huggingface_hub.constants")
    # Tests of data sets may have been the first to import the client, without a network.
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    with serve() as running:
        name_hub(running.url, monkeypatch)
        yield running
    if hasattr(client, "close_session"):  # it keeps connections open
        client.close_session()
    else:
        client.configure_http_backend()


def name_hub(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `$HF_ENDPOINT` does before the client is imported."""
    constants = pytest.importorskip("huggingface_hub.constants")
    downloads = pytest.importorskip("huggingface_hub.file_download")
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE
    assert template.startswith(constants.ENDPOINT)
    template = url + template.removeprefix(constants.ENDPOINT)
    for module in (constants, downloads):  # older versions have it in both
        monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", url)


@pytest.fixture
def pushed(hub: Hub, model: Model) -> Hub:
    push_to_hub(model, NAME, token=WRITER)
    hub.requests.clear()
    return hub


def put(hub: Hub, tmp_path: Path, model: Model, **more: bytes) -> Repository:
    """A repository with a model, made without the client."""
    save_model(model, tmp_path / "made")
    repository = hub.repositories[NAME] = Repository()
    files = {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}
    repository.commit(files | more)
    return repository


def assert_same(one: Model, other: Model) -> None:
    assert one.decoder.config == other.decoder.config
    assert (one.scaler, one.image_shape) == (other.scaler, other.image_shape)
    assert one.latents.tobytes() == other.latents.tobytes()
    for ours, theirs in ((one.names, other.names), (one.val_names, other.val_names)):
        assert (None if ours is None else ours.tolist()) == (
            None if theirs is None else theirs.tolist()
        )
    images, again = (model.decode(one.val_latents) for model in (one, other))
    assert images.tobytes() == again.tobytes()


def test_a_model_that_is_pushed_comes_back_bit_for_bit(hub: Hub, model: Model) -> None:
    assert push_to_hub(model, NAME, token=WRITER) == f"{hub.url}/{NAME}"
    assert len(hub.blobs) == 2, "both safetensors files are large files"
    assert_same(model, from_pretrained(NAME))


@pytest.mark.thorough
def test_a_push_is_one_commit_and_leaves_other_files(pushed: Hub) -> None:
    repository = pushed.repositories[NAME]
    repository.commit({"notes.txt": b"mine"}, "by hand")
    newer = make(arch=(4,))
    push_to_hub(newer, NAME, token=WRITER, commit_message="A narrower one")
    assert repository.messages == ["", "Upload model", "by hand", "A narrower one"]
    files = repository.commits[repository.head]
    assert files["notes.txt"] == b"mine"
    assert_same(newer, from_pretrained(NAME))


def test_every_file_of_a_model_is_known(model: Model, tmp_path: Path) -> None:
    """One that is missing from the list would neither be pushed nor fetched."""
    save_model(model, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} <= set(FILES)


@pytest.mark.parametrize("private", [False, True])
def test_a_repository_is_made_as_wanted(hub: Hub, model: Model, private: bool) -> None:
    push_to_hub(model, NAME, private=private, token=WRITER)
    assert hub.repositories[NAME].private is private
    assert_same(model, from_pretrained(NAME, token=READER))


def test_a_revision_is_what_it_was(pushed: Hub, model: Model) -> None:
    first = pushed.repositories[NAME].head
    push_to_hub(make(arch=(4,)), NAME, token=WRITER)
    assert from_pretrained(NAME).decoder.config.arch == (4,)
    assert_same(model, from_pretrained(NAME, revision=first))


class Bomb:
    """What a pickle file can do to whoever loads it."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("exploded"),))  # type: ignore[return-value]


def test_nothing_but_a_models_files_is_fetched(
    hub: Hub, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hostile = {
        "decoder.pkl": pickle.dumps(Bomb()),
        "modeling.py": b"open('exploded', 'w')",
        "README.md": b"---\nlicense: mit\n---\n",
        "../outside.txt": b"outside",
        "../../config.json": b"outside",
        "/tmp/config.json": b"outside",
        "sub/config.json": b"{}",
        "sub/decoder.safetensors": b"",
        "CONFIG.json": b"{}",
        "config.json.bak": b"{}",
    }
    put(hub, tmp_path, model, **hostile)
    assert_same(model, from_pretrained(NAME, cache_dir=tmp_path / "there" / "cache"))
    assert hub.fetched == set(FILES)
    snapshots = tmp_path / "there" / "cache" / "models--me--digits" / "snapshots"
    files = {path.name for path in snapshots.rglob("*") if path.is_file()}
    assert files == set(FILES)
    assert not list(tmp_path.rglob("outside*"))
    assert not (tmp_path / "exploded").exists()


def test_what_was_fetched_serves_without_the_hub(
    pushed: Hub, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_pretrained(NAME)
    name_hub(nowhere(), monkeypatch)
    assert_same(model, from_pretrained(NAME))


@pytest.mark.parametrize("kind", [str, Path])
def test_a_folder_is_loaded_as_such(
    kind: type, hub: Hub, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that could be the name of a repository."""
    monkeypatch.chdir(tmp_path)
    save_model(model, tmp_path / NAME)
    assert_same(model, from_pretrained(kind(NAME)))
    assert_same(model, from_pretrained(kind(tmp_path / NAME)))
    assert hub.requests == []
    with pytest.raises(DataError, match=r"nowhere/config\.json cannot be read: No such file"):
        from_pretrained(Path("nowhere"))


def nowhere() -> str:
    """An address at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def check_sentence(error: AutodecoderError) -> None:
    sentence = str(error)
    assert sentence.endswith(".")
    assert not sentence.endswith("..")
    assert "\n" not in sentence
    assert WRITER not in sentence
    assert READER not in sentence


def test_what_cannot_be_fetched_is_told_in_a_sentence(
    pushed: Hub, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = pushed.repositories["me/hidden"] = Repository(private=True)
    hidden.commit({"config.json": b"{}"})
    gated = pushed.repositories["me/gated"] = Repository(gated=True)
    gated.commit({"config.json": b"{}"})
    pushed.repositories["me/other"] = Repository()
    pushed.repositories["me/other"].commit({"model.pkl": b""})
    for name, revision, token, words in [
        (
            "me/none",
            None,
            None,
            "me/none is no folder here and cannot be downloaded: there is no such repository",
        ),
        (
            "me/none",
            None,
            READER,
            "me/none is no folder here and cannot be downloaded: there is no such repository",
        ),
        ("me/hidden", None, "hf_other", "no such repository that the token may see"),
        (
            "me/gated",
            None,
            READER,
            "me/gated is no folder here and cannot be downloaded: it is gated; accept its terms",
        ),
        (NAME, "v9", None, "there is no such revision"),
        ("me/other", None, None, r"config\.json cannot be read"),
    ]:
        with pytest.raises(DataError, match=words) as error:
            from_pretrained(name, revision=revision, token=token)
        check_sentence(error.value)
    for name in ("too/many/parts", "me/ digits", "-me/digits", "./nowhere"):
        with pytest.raises(ConfigError, match=r"repo_id must be owner/name on the Hub") as wrong:
            from_pretrained(name)
        check_sentence(wrong.value)
    name_hub(nowhere(), monkeypatch)
    with pytest.raises(DataError, match=r"http://.* is not reached; check the net") as away:
        from_pretrained("me/none")
    check_sentence(away.value)
    with pytest.raises(OutputError, match=r"http://.* is not reached; check the net") as off:
        push_to_hub(model, NAME, token=WRITER)
    check_sentence(off.value)


def test_what_cannot_be_pushed_is_told_in_a_sentence(hub: Hub, model: Model) -> None:
    for name, token, kind, words in [
        (NAME, None, OutputError, "cannot be uploaded: the Hub wants a valid token"),
        (NAME, "hf_other", OutputError, "cannot be uploaded: the Hub wants a valid token"),
        (NAME, READER, OutputError, "cannot be uploaded: the token does not permit it"),
        ("a/b/c", WRITER, ConfigError, "repo_id must be owner/name on the Hub"),
    ]:
        with pytest.raises(kind, match=words) as error:
            push_to_hub(model, name, token=token)
        check_sentence(error.value)
    assert hub.repositories == {}
    hub.full = True
    with pytest.raises(OutputError, match=r"cannot be uploaded: LFS batch .*no room left") as error:
        push_to_hub(model, NAME, token=WRITER)
    check_sentence(error.value)


def test_a_damaged_download_is_refused(hub: Hub, model: Model, tmp_path: Path) -> None:
    content = bytearray((put(hub, tmp_path, model).commits.popitem())[1]["decoder.safetensors"])
    content[-1] ^= 1
    put(hub, tmp_path, model, **{"decoder.safetensors": bytes(content)})
    with pytest.raises(DataError, match="its checksum differs"):
        from_pretrained(NAME)


def test_the_clients_progress_bars_are_off_and_come_back(
    pushed: Hub, model: Model, capfd: pytest.CaptureFixture[str]
) -> None:
    from huggingface_hub.utils import are_progress_bars_disabled

    assert not are_progress_bars_disabled()
    from_pretrained(NAME)
    push_to_hub(make(arch=(4,)), NAME, token=WRITER)
    assert capfd.readouterr() == ("", "")
    assert not are_progress_bars_disabled()


def test_without_the_extra_it_says_what_to_install(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(model, tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert_same(model, from_pretrained(str(tmp_path)))
    for call in (lambda: from_pretrained(NAME), lambda: push_to_hub(model, NAME)):
        with pytest.raises(ConfigError, match=r"pip install 'autodecoder\[hub\]' brings it\.$"):
            call()
