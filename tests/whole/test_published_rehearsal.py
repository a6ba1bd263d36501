"""A rehearsal of the published claims at the models' own shape: each runs end to end, and none comes out supported on random weights.

Nothing here is GPT-2: the directories bear its name, its layers and its heads. That a replication can be told, too, is rehearsed on a
compiled model whose heads stand where the paper has them, and of which some of the figures are true and others are not.
"""

import itertools
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from code_tokenizer import code_tokenizer
from task_words import retrieval_words, tag_question_words, words

from mechcheck.base.paths import data_dir
from mechcheck.circuits.published import published, published_names
from mechcheck.compiled import (
    ALWAYS,
    Blueprint,
    Head,
    Match,
    Move,
    Register,
    codes,
    compile_weights,
    config_of,
    flag,
    positions,
    save_model,
    scratch,
)
from mechcheck.compiled._people import duplicate_token, name_mover, s_inhibition
from mechcheck.models.native import keep_native
from mechcheck.tasks import retrieval, tag_question
from mechcheck.tasks.docstring import ARGUMENTS, NOUNS, VERBS
from mechcheck.tasks.in_context import RELATIONS
from mechcheck.tasks.names import load_language
from mechcheck.tasks.successor import ORDERS

CLAIMS = data_dir("claims") / "published"
CONTEXT = 22  # the longest prompt of IOI has 21 tokens, and heads are as wide as places are many
PLANTED = "logit_difference or test_copy_score or inverted_signals or name_mover_attention"
GAIN = 3.87  # of which 3.56 are left between two names whose codes overlap


@pytest.fixture
def claims_on(shell, tmp_path):
    """claims_on(directories, *arguments): id -> claim, of the published claims on these models."""

    def run(directories: list[Path], *arguments: str) -> dict[str, dict]:
        models = [f"--mech-model={directory}" for directory in directories]
        words = ["pytest", str(CLAIMS), *models, *arguments, "-q", "--mech-profile=smoke", "--mech-report=report"]
        done = shell.run(shlex.join(words), tmp_path)
        assert done.returncode in (0, 1), done.stdout[-3000:]
        claims = json.loads((tmp_path / "report" / "evidence.json").read_text())["claims"]
        return {claim["id"]: claim for claim in claims if claim["verdict"] != "skipped"}

    return run


def random_gpt2(folder: Path) -> Path:
    """GPT-2 small's layers and heads, narrow, with random weights."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(vocab_size=2048, n_layer=12, n_head=12, n_embd=24, n_positions=128)).save_pretrained(folder / "gpt2")
    plain_tokenizer().save_pretrained(folder / "gpt2")
    return folder / "gpt2"


def random_pythia(folder: Path) -> Path:
    """Pythia-1.4B's layers and heads, narrow, with random weights."""
    import torch
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    torch.manual_seed(0)
    shape = {"num_hidden_layers": 24, "num_attention_heads": 16, "hidden_size": 64, "intermediate_size": 32}
    config = GPTNeoXConfig(**shape, vocab_size=2048, max_position_embeddings=64)
    GPTNeoXForCausalLM(config).save_pretrained(folder / "pythia-1.4b")
    plain_tokenizer().save_pretrained(folder / "pythia-1.4b")
    return folder / "pythia-1.4b"


def random_gptj(folder: Path) -> Path:
    """GPT-J's layers and heads, narrow, with random weights."""
    import torch
    from transformers import GPTJConfig, GPTJForCausalLM

    torch.manual_seed(0)
    related = [word for pairs in RELATIONS.values() for pair in pairs for word in pair]
    tokenizer = code_tokenizer(["Q", "A", "Input", "Output", *related])
    config = GPTJConfig(n_layer=28, n_head=16, n_embd=64, n_inner=32, rotary_dim=4, n_positions=128, vocab_size=len(tokenizer))
    GPTJForCausalLM(config).save_pretrained(folder / "gpt-j-6b")
    tokenizer.save_pretrained(folder / "gpt-j-6b")
    return folder / "gpt-j-6b"


def random_llama(folder: Path) -> Path:
    """Llama-2-7B's layers and heads, narrow, with random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    tokenizer = code_tokenizer(retrieval_words())
    shape = {"num_hidden_layers": 32, "num_attention_heads": 32, "hidden_size": 64, "intermediate_size": 32}
    config = LlamaConfig(**shape, vocab_size=len(tokenizer), max_position_embeddings=256)
    LlamaForCausalLM(config).save_pretrained(folder / "llama-2-7b-80k")
    tokenizer.save_pretrained(folder / "llama-2-7b-80k")
    return folder / "llama-2-7b-80k"


def plain_tokenizer():
    """Of the words of all tasks that are asked of these models."""
    asked = {"In", "order", "First", "then", "The", "list", "goes", *itertools.chain(*ORDERS.values()), *tag_question_words()}
    return code_tokenizer(words() | asked, whole_years=(1744, *range(1100, 1190)), size=2048)


def random_attention_only(folder: Path) -> Path:
    """attn-only-4l's layers and heads, narrow, with random weights, as a directory that TransformerLens' models are kept in."""
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    tokenizer = code_tokenizer(["def", "self", "param", *ARGUMENTS, *NOUNS, *VERBS])
    config = TransformerBridgeConfig(
        n_layers=4, n_heads=8, d_head=4, d_model=32, n_ctx=128, d_vocab=len(tokenizer), attn_only=True, normalization_type="LN", seed=0
    )
    return keep_native(TransformerBridge.boot_native(config), None, folder / "attn-only-4l", tokenizer=tokenizer)


def test_nothing_is_found_in_random_weights(claims_on, tmp_path):
    found = claims_on([random_gpt2(tmp_path), random_pythia(tmp_path), random_attention_only(tmp_path)])
    found |= claims_on([random_gptj(tmp_path)], "--mech-budget=48")  # whose prompts are long, and layers many
    found |= claims_on([random_llama(tmp_path)], "--mech-budget=9")  # longer, and a thousand heads
    assert {claim["verdict"] for claim in found.values()} <= {"refuted", "inconclusive", "not_applicable"}
    ran = {(claim["statement"], claim["model"]["name"]) for claim in found.values()}
    papers = [published(name) for name in published_names()]
    assert ran == {(figure.claim, model.rpartition("/")[2]) for paper in papers for figure in paper.values() for model in paper.models}


def shared_out(head: Head, among: int) -> Head:
    """One of several heads that do the same together."""
    return replace(head, moves=tuple(replace(move, gain=move.gain / among) for move in head.moves))


def planted(folder: Path) -> Path:
    """IOI compiled into GPT-2 small's shape, by the heads that the paper names; the logit difference is the published one."""
    language = load_language()
    name, position = codes("name", language.names, 20), positions("position", CONTEXT)
    ends = sorted({clause[-1] for clause in language.givings + language.givings_held_out})
    registers = (
        name, position, flag("is_name", language.names), flag("at_end", ends), flag("bos", ["<bos>"]), scratch("earlier", like=position),
        scratch("repeated"), scratch("avoid", like=position), scratch("answer", like=name),
    )  # fmt: skip
    subject = s_inhibition()  # brings two places; here each head brings one of them
    places = {
        **dict.fromkeys(("0.1", "3.0"), shared_out(duplicate_token(), 2)),
        **dict.fromkeys(("7.3", "8.6"), shared_out(replace(subject, moves=subject.moves[:1]), 2)),
        **dict.fromkeys(("7.9", "8.10"), shared_out(replace(subject, moves=subject.moves[1:]), 2)),
        **dict.fromkeys(("9.6", "9.9", "10.0"), shared_out(name_mover(gain=GAIN), 3)),
        "11.11": Head("blank", None, (), (Move("name", "answer", 0.0),)),
    }
    save_model(Blueprint("gpt2", registers, places, outputs={"answer": "name"}, context=CONTEXT), folder / "gpt2")
    return folder / "gpt2"


def test_what_was_planted_is_found_and_what_was_not_is_not(claims_on, tmp_path):
    found = claims_on([planted(tmp_path)], "--mech-decoys=1", "-k", PLANTED)
    told = {claim.partition("/")[2].partition("[")[0]: about["verdict"] for claim, about in found.items()}
    assert told == {
        "test_logit_difference": "supported", "test_copy_score": "supported", "test_inverted_signals": "supported",
        "test_name_mover_attention": "refuted",  # its name movers attend to nothing else: 1, and not 0.59
    }  # fmt: skip


def saved_with(made: Blueprint, words: set[str], directory: Path) -> Path:
    """The model, with a tokenizer of these words."""
    from safetensors.torch import save_file
    from transformers import GPT2Config

    tokenizer = code_tokenizer(words)
    config = GPT2Config(**config_of(made, len(tokenizer)), architectures=["GPT2LMHeadModel"], dtype="float32")
    config.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    save_file(compile_weights(made, tokenizer.get_vocab()), directory / "model.safetensors", metadata={"format": "pt"})
    return directory


def planted_retrieval(folder: Path) -> Path:
    """Head 16.19 finds, at each word of what is kept, the one that follows by its kind, and says it; no other head does anything."""
    kinds = re.findall(r"\w+|,", re.sub(r"[{}]", "", retrieval.KEPT))
    said = [(f"{' ' * (word != ',')}{word}", place) for place, kind in enumerate(kinds) for word in retrieval.WORDS.get(kind, (kind,))]
    words, kind_of = zip(*said, strict=True)
    before = (" keeps", *(word for word, place in said if place < len(kinds) - 1))
    kind, token = np.eye(len(kinds)), codes("token", words, 24)
    registers = (
        token, Register("kind", len(kinds), words, kind[list(kind_of)]),
        Register("next", len(kinds), before, kind[[0, *(place + 1 for place in kind_of if place < len(kinds) - 1)]]),
        flag("bos", ["<bos>"]), scratch("answer", like=token),
    )  # fmt: skip
    finds = (Match("next", "kind", 30.0), Match(ALWAYS, "bos", 15.0))
    places = {"16.19": Head("retrieval", None, finds, (Move("token", "answer", 12.0),)), "16.20": Head("blank", None, (), ())}
    made = Blueprint("retrieval", registers, places, outputs={"answer": "token"}, context=192)
    return saved_with(made, retrieval_words(), folder / "llama-2-7b-80k")


def test_a_planted_retrieval_head_is_found(claims_on, tmp_path):
    found = claims_on([planted_retrieval(tmp_path)], "--mech-decoys=1", "--mech-budget=9", "-k", "strongest_retrieval or few_heads")
    told = {claim.partition("/")[2].partition("[")[0]: about["verdict"] for claim, about in found.items()}
    assert told == {"test_strongest_retrieval_head": "supported", "test_few_heads_retrieve": "refuted"}  # it is one of 357


def planted_pronouns(folder: Path) -> Path:
    """The three steps of appendix K without their first and without MLPs: name, "is", the end, the pronoun."""
    gender = {f" {name}": pronoun for pronoun in ("she", "he") for half in tag_question.NAMES.values() for name in half[pronoun]}
    pronoun = Register("pronoun", 2, (" she", " he"), np.eye(2))
    registers = (
        Register("gender", 2, tuple(gender), np.eye(2)[[int(said == "he") for said in gender.values()]]), pronoun,
        flag("is_name", list(gender)), flag("at_is", [" is"]), flag("at_end", ["t"]), flag("bos", ["<bos>"]),
        scratch("carried", like=pronoun), scratch("answer", like=pronoun),
    )  # fmt: skip
    nothing = Match(ALWAYS, "bos", 15.0)
    at_is = Head("mover", None, (Match("at_is", "is_name", 30.0), nothing), (Move("gender", "carried", 0.5),))
    at_end = Head("writer", "END", (Match("at_end", "at_is", 30.0), nothing), (Move("carried", "answer", 3.0),))
    places = {"4.3": at_is, "6.0": at_is, "9.7": at_end, "10.9": at_end, "11.11": Head("blank", None, (), ())}
    made = Blueprint("pronouns", registers, places, outputs={"answer": "pronoun"}, context=32)
    return saved_with(made, tag_question_words(), folder / "gpt2")


def test_planted_pronouns_are_found_by_way_of_is(claims_on, tmp_path):
    found = claims_on([planted_pronouns(tmp_path)], "--mech-decoys=1", "-k", "pronouns")
    told = {claim.partition("/")[2].partition("[")[0]: about["verdict"] for claim, about in found.items()}
    assert {claim for claim, verdict in told.items() if verdict == "supported"} == {
        "test_prefers_the_pronoun", "test_is_attends_to_the_name", "test_end_attends_to_is", "test_through_is",
        "test_heads_write_the_pronoun",
    }  # fmt: skip
    assert {claim for claim, verdict in told.items() if verdict == "refuted"} == {
        "test_name_attends_to_itself", "test_mlp_7_at_is", "test_read_from_is", "test_last_mlps",
    }  # fmt: skip
