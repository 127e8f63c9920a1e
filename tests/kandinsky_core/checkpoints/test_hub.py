"""Models by name: embedded, local, or from a hub, which is a server on this machine here."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kandinsky_core import AutoPipelineForText2Image, KandinskyV22Pipeline
from kandinsky_core.checkpoints.hub import EMBEDDED, HubOptions, connected_prior, resolve_model
from kandinsky_core.errors import CheckpointError, ModelNotFoundError
from tests.conftest import NetworkAccessError
from tests.support.fake_hub import FakeHub

DECODER, PRIOR = "owner/decoder", "owner/prior"
CARD = "---\nlicense: apache-2.0\nprior:\n- owner/prior\ntags:\n- text-to-image\n---\n# Decoder\n"


@pytest.fixture
def published(hub: FakeHub, model: Path) -> FakeHub:
    """The embedded model as two repositories, with files beside it that nobody needs."""
    decoder = model / "decoder"
    (decoder / "README.md").write_text(CARD, encoding="utf-8")
    for folder in ("unet", "movq"):
        for name in ("bin", "fp16.safetensors", "onnx", "msgpack"):
            (decoder / folder / f"diffusion_pytorch_model.{name}").write_bytes(b"unwanted")
    (decoder / "safety_checker").mkdir()
    (decoder / "safety_checker" / "model.safetensors").write_bytes(b"unwanted")
    (decoder / "picture.png").write_bytes(b"unwanted")
    (model / "prior" / "prior" / "pytorch_model.bin").write_bytes(b"unwanted")
    hub.add(DECODER, decoder)
    hub.add(PRIOR, model / "prior")
    return hub


def refusal(name: str | Path, **options: Any) -> str:
    with pytest.raises(ModelNotFoundError) as caught:
        resolve_model(name, "decoder", HubOptions(**options), ())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_tests_reach_no_network() -> None:
    with socket.socket() as plain, pytest.raises(NetworkAccessError, match=r"192\.0\.2\.1"):
        plain.connect(("192.0.2.1", 80))
    with pytest.raises(NetworkAccessError, match=r"example\.org"):
        socket.create_connection(("example.org", 80))


def test_embedded_and_local_names() -> None:
    options = HubOptions()
    shapes = EMBEDDED["shapes"]
    for name in ("shapes", shapes, str(shapes)):
        assert resolve_model(name, "prior", options, ()) == shapes / "prior"
        assert resolve_model(name, "decoder", options, ()) == shapes / "decoder"
    assert resolve_model(shapes / "decoder", "decoder", options, ()) == shapes / "decoder"


@pytest.mark.parametrize(
    "name", ["", "shape", "./nowhere/at-all", "/nowhere", "a/b/c", Path("a/b")]
)
def test_unknown_names_are_refused_without_asking_the_hub(hub: FakeHub, name: str | Path) -> None:
    said = refusal(name)
    assert said.startswith(f"no model {str(name)!r}")
    assert "(shapes)" in said
    assert not hub.requests


def test_only_what_is_needed_is_fetched_and_then_nothing(
    published: FakeHub, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    load = AutoPipelineForText2Image.from_pretrained
    pipeline = load(DECODER, cache_dir=tmp_path / "cache")
    assert published.downloads(DECODER) == {
        "README.md",
        "model_index.json",
        "movq/config.json",
        "movq/diffusion_pytorch_model.safetensors",
        "scheduler/scheduler_config.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
    }
    assert published.downloads(PRIOR) == {
        "README.md",
        "model_index.json",
        "image_encoder/config.json",
        "image_encoder/model.safetensors",
        "image_processor/preprocessor_config.json",
        "prior/config.json",
        "prior/diffusion_pytorch_model.safetensors",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/merges.txt",
        "tokenizer/special_tokens_map.json",
        "tokenizer/tokenizer_config.json",
        "tokenizer/vocab.json",
    }
    assert pipeline.prior_pipe.tokenizer is pipeline.prior_tokenizer
    published.requests.clear()
    load(DECODER, cache_dir=tmp_path / "cache", local_files_only=True)
    assert not published.requests
    with published.stopped():
        load(DECODER, cache_dir=tmp_path / "cache", local_files_only=True)
        load(DECODER, cache_dir=tmp_path / "cache")  # the hub is down: the cache serves
    assert capfd.readouterr() == ("", "")  # no bars where stderr is no terminal


def test_given_components_are_not_fetched(published: FakeHub, tmp_path: Path) -> None:
    KandinskyV22Pipeline.from_pretrained(DECODER, cache_dir=tmp_path / "cache", unet=None)
    assert not any(name.startswith("unet/") for name in published.downloads(DECODER))


def test_variant_fetches_its_own_weights_only(
    published: FakeHub, model: Path, tmp_path: Path
) -> None:
    for folder in ("unet", "movq"):
        weights = model / "decoder" / folder / "diffusion_pytorch_model.safetensors"
        weights.replace(weights.with_suffix(".fp16.safetensors"))
        weights.write_bytes(b"unwanted")
    KandinskyV22Pipeline.from_pretrained(DECODER, cache_dir=tmp_path / "cache", variant="fp16")
    fetched = {name for name in published.downloads(DECODER) if name.endswith(".safetensors")}
    assert fetched == {
        "movq/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
    }


def test_revision_is_the_decoders_and_the_prior_has_its_own(
    published: FakeHub, model: Path, tmp_path: Path
) -> None:
    published.clear()
    published.add(DECODER, model / "decoder", "v1")
    published.add(PRIOR, model / "prior", "v2")
    load = AutoPipelineForText2Image.from_pretrained
    cache = tmp_path / "cache"
    load(DECODER, cache_dir=cache, revision="v1", prior_revision="v2")
    assert f"GET /api/models/{DECODER}/revision/v1" in published.requests
    assert f"GET /api/models/{PRIOR}/revision/v2" in published.requests
    with pytest.raises(ModelNotFoundError, match=f"{PRIOR}.*no revision 'main'"):
        load(DECODER, cache_dir=cache, revision="v1")


def test_missing_prior_is_noticed_before_the_decoder_is_fetched(
    published: FakeHub, model: Path, tmp_path: Path
) -> None:
    published.clear()
    published.add(DECODER, model / "decoder")
    with pytest.raises(ModelNotFoundError, match=PRIOR):
        AutoPipelineForText2Image.from_pretrained(DECODER, cache_dir=tmp_path / "cache")
    assert published.downloads(DECODER) == {"README.md", "model_index.json"}


def test_decoder_that_names_no_prior(published: FakeHub, model: Path, tmp_path: Path) -> None:
    (model / "decoder" / "README.md").unlink()
    load = AutoPipelineForText2Image.from_pretrained
    with pytest.raises(ModelNotFoundError, match=r"names no prior.*prior="):
        load(DECODER, cache_dir=tmp_path / "cache")
    load(DECODER, cache_dir=tmp_path / "cache", prior=PRIOR)
    load(DECODER, cache_dir=tmp_path / "cache", prior=model / "prior")


def test_unknown_repository_and_revision(published: FakeHub, tmp_path: Path) -> None:
    said = refusal("owner/nothing", cache_dir=tmp_path)
    assert "'owner/nothing'" in said
    assert "the hub has no such repository" in said
    said = refusal(DECODER, cache_dir=tmp_path, revision="v9")
    assert f"model {DECODER!r}" in said
    assert "no revision 'v9'" in said


def test_what_is_not_cached_cannot_be_had_offline(published: FakeHub, tmp_path: Path) -> None:
    said = refusal(DECODER, cache_dir=tmp_path, local_files_only=True)
    assert "not in the cache" in said
    assert not published.requests
    with published.stopped():
        assert "not in the cache" in refusal(DECODER, cache_dir=tmp_path)


def test_half_a_cache_names_what_is_lacking(published: FakeHub, tmp_path: Path) -> None:
    resolve_model(DECODER, "decoder", HubOptions(cache_dir=tmp_path), ())
    with pytest.raises(CheckpointError, match=r"lacks the folders of unet|not in the cache"):
        KandinskyV22Pipeline.from_pretrained(DECODER, cache_dir=tmp_path, local_files_only=True)


@pytest.mark.parametrize("gone", ["model_index.json", "unet/config.json"])
def test_a_blob_that_is_gone_from_the_cache_is_named(
    published: FakeHub, tmp_path: Path, gone: str
) -> None:
    KandinskyV22Pipeline.from_pretrained(DECODER, cache_dir=tmp_path)
    folder = resolve_model(DECODER, "decoder", HubOptions(cache_dir=tmp_path), ())
    (folder / gone).resolve().unlink()
    # Version 1 of huggingface_hub notices it itself, and says so of the cache as a whole.
    named = rf"{gone} is a link to .* which is gone.*fetch|cache \(or not whole\).*online"
    with pytest.raises(CheckpointError, match=named):
        KandinskyV22Pipeline.from_pretrained(DECODER, cache_dir=tmp_path, local_files_only=True)
    KandinskyV22Pipeline.from_pretrained(DECODER, cache_dir=tmp_path)  # online it is fetched again


def test_a_variant_that_the_hub_lacks_is_named(published: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"component 'unet': .* variant 'bf16'"):
        KandinskyV22Pipeline.from_pretrained(DECODER, cache_dir=tmp_path, variant="bf16")


def test_name_that_the_hub_cannot_have(hub: FakeHub, tmp_path: Path) -> None:
    assert "'own er/--x'" in refusal("own er/--x", cache_dir=tmp_path)


def test_offline_by_environment(published: FakeHub, tmp_path: Path) -> None:
    resolve_model(DECODER, "decoder", HubOptions(cache_dir=tmp_path), ())
    published.requests.clear()
    code = (
        "import sys\n"
        "from kandinsky_core.checkpoints.hub import HubOptions, resolve_model\n"
        "print(resolve_model(sys.argv[1], 'decoder', HubOptions(cache_dir=sys.argv[2]), ()))\n"
    )
    for name, found in ((DECODER, True), ("owner/other", False)):
        done = subprocess.run(
            [sys.executable, "-c", code, name, str(tmp_path)],
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode == 0) == found
        assert found or "it is not in the cache" in done.stderr
    assert not published.requests


@pytest.mark.parametrize(
    ("card", "prior"),
    [
        (CARD, "owner/prior"),
        ("---\nprior: owner/prior\n---\n", "owner/prior"),
        ("---\r\nprior: [owner/prior, owner/other]\r\n---\r\n", "owner/prior"),
        ("---\nlicense: mit\n---\nprior: owner/prior\n", None),
        ("---\nprior: {a: b}\n---\n", None),
        ("---\nprior: [\n---\n", None),
        ("# no front matter\n", None),
        ("---", None),
        ("", None),
    ],
)
def test_prior_in_the_model_card(tmp_path: Path, card: str, prior: str | None) -> None:
    assert connected_prior(tmp_path) is None
    (tmp_path / "README.md").write_bytes(card.encode() + b"\xff caf\xe9")
    assert connected_prior(tmp_path) == prior


def test_prior_beside_the_decoder(tmp_path: Path, model: Path) -> None:
    (model / "decoder" / "README.md").write_text("---\nprior: ../prior\n---\n")
    assert connected_prior(model / "decoder") == str(model / "prior")
    moved = shutil.move(model / "decoder", model / "other")
    AutoPipelineForText2Image.from_pretrained(moved, unet=None, movq=None)
