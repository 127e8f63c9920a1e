"""Prompts expanded by a small language model, as transformers saves and runs it."""

from __future__ import annotations

import gc
import shutil
import subprocess
import sys
import weakref
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from kandinsky_core import PromptBeautifier
from kandinsky_core.errors import BackendUnavailableError, InvalidInputError
from tests.kandinsky_cli.run import runner
from tests.support.damage import edit_json, edit_tensors, truncate
from tests.support.fake_hub import FakeHub

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

PROMPT = "a réd fox, {0}\n2"
TEMPLATE = (
    "### System: You are a prompt engineer. Your mission is to expand prompts written by user. You "
    "should provide the best prompt for text to image generation in English.\n### User:\n"
    f"{PROMPT}\n### Assistant:\n"
)
# What the model says after the newline that ends the template.
PIECES = (" A", " red", " fox", " by", " lantern", " light", " ###", " User", "!", "</s>")
ANSWER = "A red fox by lantern light"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama whose next token depends on the last one alone, so that its answer is known.

    Its own settings ask for hot sampling, which gives noise.
    """
    byte_pairs = Tokenizer(models.BPE())
    byte_pairs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_pairs.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["</s>"],
        show_progress=False,
    )
    byte_pairs.train_from_iterator(["".join(PIECES[:-1])] * 9, trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=byte_pairs, eos_token="</s>", pad_token="</s>"
    )
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    model = transformers.LlamaForCausalLM(config)
    words = [tokenizer.encode(piece) for piece in ("\n", *PIECES)]
    assert [len(word) for word in words] == [1] * len(words)
    tokens = [word[0] for word in words]
    with torch.no_grad():
        for layer in model.model.layers:  # what the blocks add to the embedding: nothing
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        embeddings = torch.nn.functional.normalize(torch.randn(len(tokenizer), 32))
        model.model.embed_tokens.weight.copy_(embeddings)
        model.lm_head.weight.zero_()
        for token, following in pairwise(tokens):
            model.lm_head.weight[following] = embeddings[token]
    model.generation_config.update(do_sample=True, temperature=100.0, top_k=0)
    folder = tmp_path_factory.mktemp("language-model")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_the_model_sees_exactly_the_template(folder: Path) -> None:
    beautifier = PromptBeautifier(folder, device="cpu")
    seen: list[Any] = []

    def keep(_: Any, __: Any, options: dict[str, Any]) -> None:
        seen.append(options["input_ids"])

    beautifier._pipeline.model.register_forward_pre_hook(keep, with_kwargs=True)
    assert beautifier(PROMPT) == ANSWER
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert seen[0].tolist() == [tokenizer.encode(TEMPLATE)]
    assert tokenizer.decode(seen[0][0]) == TEMPLATE


def test_decoding_is_greedy_whatever_the_model_s_settings_say(folder: Path) -> None:
    ready = transformers.pipeline("text-generation", model=str(folder), device="cpu")
    torch.manual_seed(0)
    sampled = ready(TEMPLATE, return_full_text=False, max_new_tokens=9)[0]["generated_text"]
    assert ANSWER not in sampled
    beautifier = PromptBeautifier(str(folder), device=torch.device("cpu"), dtype=torch.float32)
    state = torch.get_rng_state()
    assert [beautifier(PROMPT) for _ in range(3)] == [ANSWER] * 3
    assert torch.equal(torch.get_rng_state(), state)
    assert PromptBeautifier(folder, max_words=2, dtype="bfloat16", device="cpu")("a") == "A red"


def test_the_model_goes_with_the_object(folder: Path) -> None:
    beautifier = PromptBeautifier(folder, device="cpu")
    beautifier("a")
    network = weakref.ref(beautifier._pipeline.model)
    assert network() is not None
    del beautifier
    gc.collect()
    assert network() is None


def test_the_command_prints_one_line(folder: Path) -> None:
    """In a process of its own, where transformers has something to say on loading."""
    command = [sys.executable, "-m", "kandinsky_cli.main", "beautify", PROMPT]
    done = subprocess.run(
        [*command, "--model", str(folder), "--device", "cpu"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{ANSWER}\n", "")


def drop_tensor(model: Path) -> None:
    edit_tensors(model / "model.safetensors", drop=("lm_head.weight",))


def cut_weights(model: Path) -> None:
    truncate(model / "model.safetensors")


def break_tokenizer(model: Path) -> None:
    (model / "tokenizer.json").write_text("{")


def bring_code(model: Path) -> None:
    (model / "code.py").write_text("raise SystemExit('the code was run')")
    automatic = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}
    edit_json(model / "config.json", model_type="own", auto_map=automatic)


def see_pictures(model: Path) -> None:
    edit_json(model / "config.json", model_type="dpt")


@pytest.mark.parametrize(
    ("spoil", "part"),
    [
        (shutil.rmtree, ""),
        (drop_tensor, "of its tensors 1 missing (lm_head.weight)"),
        (cut_weights, "Error while deserializing header"),
        (break_tokenizer, "EOF while parsing"),
        (bring_code, "contains custom code"),
        (see_pictures, "DPTConfig"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_model_that_cannot_be_loaded(
    folder: Path,
    tmp_path: Path,
    spoil: Callable[[Path], None],
    part: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "error")  # put back what the command sets
    monkeypatch.setattr(transformers.logging.get_logger("transformers"), "disabled", True)
    model = tmp_path / "model"
    shutil.copytree(folder, model)
    spoil(model)
    code, output, error = runner(capsys)("beautify", "a", "--model", model, "--device", "cpu")
    assert (code, output, error.count("\n")) == (2, "", 1)
    said = f"kandinsky beautify: error: language model {str(model)!r} cannot be loaded: "
    assert error.startswith(said)
    assert part in error.removeprefix(said)
    assert len(error) < len(said) + 240


def test_a_name_that_the_hub_does_not_know(hub: FakeHub) -> None:
    with pytest.raises(InvalidInputError, match="language model 'owner/nothing' cannot be loaded"):
        PromptBeautifier("owner/nothing")("a")
    assert hub.requests


@pytest.mark.parametrize("device", ["toaster", "gpu:99", "cuda:99", torch.device("cuda:99"), 5.5])
def test_a_device_that_is_not_there(folder: Path, device: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"device=.* cannot be used by PyTorch: ") as raised:
        PromptBeautifier(folder, device=device)("a")
    assert "\n" not in str(raised.value)


def test_packages_that_do_not_fit_each_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beautifier = PromptBeautifier(folder)
    monkeypatch.setitem(sys.modules, "transformers", None)
    said = r"transformers cannot be imported \(.*\): pip install --upgrade 'kandinsky-anywhere\[b"
    with pytest.raises(BackendUnavailableError, match=said):
        beautifier("a")
