"""From one model to another: heads' outputs put into their counterparts, and predictions read with the other's vocabulary."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechcheck.base.architectures import has_norms, takes_out_mean
from mechcheck.base.device import to_numpy, usual_torch
from mechcheck.base.errors import MechcheckError, ModelError
from mechcheck.base.loaded import check_loaded
from mechcheck.measures.stream.alignment import LinearMap, activations, check_same_texts
from mechcheck.measures.stream.lens import readout
from mechcheck.measures.stream.pseudo_inverse import pseudo_inverse
from mechcheck.models.architecture import require_folded, require_plain_writes
from mechcheck.models.loading import provenance
from mechcheck.notation.interventions import Put
from mechcheck.notation.metrics import Logits
from mechcheck.notation.sites import Site, Sites
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.stats.measurement import Measurement

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def functional_patch(
    model_from: "TransformerBridge", prompts_from: PromptSet, sites_from: Sites, across: LinearMap, sites_to: Sites
) -> Put:
    """Put what one model's sites hold into another model's sites, prompt by prompt, through a linear map.

    Args:
        model_from: the model whose activations are taken.
        prompts_from: the prompts it reads, standing one for one with those of the run that is patched.
        sites_from, sites_to: source and target, at named positions; several sites stand side by side, in order.
        across: from the one to the other: `align` on these sites, or `between_heads`.
    """
    mapped = across(activations(model_from, prompts_from, sites_from).cpu())
    return Put(dict(zip(sites_to, mapped.tensor_split(len(sites_to), dim=-1), strict=True)))


def between_heads(
    stream: LinearMap,
    model_from: "TransformerBridge",
    prompts_from: PromptSet,
    heads_from: Sites,
    model_to: "TransformerBridge",
    prompts_to: PromptSet,
    heads_to: Sites,
) -> LinearMap:
    """The map between two models' heads that a map between their streams implies.

    What the one model's heads write, W_O z, goes through the stream's map and is written by the other's heads as well as they
    can (least squares): W_O(from) @ W @ pinv(W_O(to)). Nothing is fitted to the heads but their means.

    Args:
        stream: from `align` on the streams behind the heads.
        prompts_from, prompts_to: the prompts that the means are taken over.
        heads_from, heads_to: heads at named positions.

    Raises:
        MechcheckError: heads to write with that write nothing.
    """
    check_same_texts(prompts_from, prompts_to)
    writes, into = (_output_weights(model, chosen) for model, chosen in ((model_from, heads_from), (model_to, heads_to)))
    back = pseudo_inverse(into, model_to.W_O.dtype, f"W_O of {' '.join(site.place for site in heads_to)}")
    return LinearMap(
        writes @ stream.weight @ back.matrix,
        activations(model_from, prompts_from, heads_from).cpu().double().mean(0),
        activations(model_to, prompts_to, heads_to).cpu().double().mean(0),
        back.condition,
    )


def _output_weights(model: "TransformerBridge", chosen: Sites) -> Float[Tensor, "d_z d_model"]:
    require_plain_writes(model, "no head alone decides what it writes")
    return torch.cat([model.W_O[layer, head] for layer, head in chosen.pairs]).cpu().double()


@dataclass(frozen=True, eq=False)
class SharedVocabulary:
    """Tokens that two models have in common, by their text."""

    words: tuple[str, ...]
    ids_from: Int[Tensor, " word"]
    """Token ids in the one model,"""
    ids_to: Int[Tensor, " word"]
    """and in the other."""


def shared_vocabulary(model_from: "TransformerBridge", model_to: "TransformerBridge", *prompts: PromptSet) -> SharedVocabulary:
    """The tokens of the same text in both models, special tokens and pieces of characters aside.

    Translating predictions needs no more of two vocabularies than a common part that holds the words in question; both models
    are then read on that part alone, renormalised.

    Args:
        model_from, model_to: from `load_model`, with tokenizers.
        prompts: sets for `model_from`, whose answers and foils must be shared.

    Raises:
        MechcheckError: a model without a tokenizer, fewer than two tokens in common, an answer or a foil that is not.
    """
    texts_from, texts_to = _texts(model_from), _texts(model_to)
    words = tuple(sorted(texts_from.keys() & texts_to.keys()))
    names = f"{provenance(model_from).name} and {provenance(model_to).name}"
    if len(words) < 2:
        raise MechcheckError(f"the vocabularies of {names} have {len(words)} tokens in common; nothing can be translated")
    found = SharedVocabulary(words, torch.tensor([texts_from[w] for w in words]), torch.tensor([texts_to[w] for w in words]))
    shared = set(found.ids_from.tolist())
    asked = {int(token): text for one in prompts for token, text in one.vocabulary.items()}
    lacking = sorted(text for token, text in asked.items() if token not in shared)
    if lacking:
        raise MechcheckError(
            f"{', '.join(map(repr, lacking[:5]))} is no token of both {names} ({len(words)} are): "
            "choose answers and foils that are one token in each, with the same space in front"
        )
    return found


def _texts(model: "TransformerBridge") -> dict[str, int]:
    """Text -> token, for texts that one ordinary token alone has."""
    check_loaded(model)
    if model.tokenizer is None:
        raise ModelError(f"{provenance(model).name} came without a tokenizer, so its vocabulary cannot be compared with another's")
    special = set(model.tokenizer.all_special_ids)
    tokens: dict[str, list[int]] = {}
    for token in range(min(len(model.tokenizer), model.cfg.d_vocab)):
        tokens.setdefault(model.tokenizer.decode([token]), []).append(token)
    return {text: ids[0] for text, ids in tokens.items() if len(ids) == 1 and ids[0] not in special and text and "\ufffd" not in text}


@usual_torch()
def vocabulary_map(model_from: "TransformerBridge", model_to: "TransformerBridge", shared: SharedVocabulary) -> LinearMap:
    """A map between the last streams that is fitted to no prompts: out by the one's unembedding, in by the other's.

    The stream whose logits for the shared tokens come nearest to the source's (least squares): W_U(from) @ pinv(W_U(to)). It
    is right up to a positive factor for each prompt, which the target's final norm takes out. A LayerNorm takes the stream's mean
    out too, so that the unembedding says nothing of it, and no stream with a mean is looked for.

    Raises:
        MechcheckError: a model that is not folded, whose final norm has weights of its own; an unembedding that is the same for all
            shared words.
    """
    for model in (model_from, model_to):
        require_folded(model, "a map through the vocabulary needs")
    if not has_norms(model_to) and has_norms(model_from):
        raise MechcheckError(
            "a map through the vocabulary is right up to a factor that the target's final norm takes out, and the target has no norm"
        )
    out, into = (_unembedding(model, ids) for model, ids in ((model_from, shared.ids_from), (model_to, shared.ids_to)))
    if has_norms(model_to) and takes_out_mean(model_to.ln_final):
        into = into - into.mean(0)  # folding does so too, to float32's accuracy
    back = pseudo_inverse(into, model_to.W_U.dtype, f"the unembedding of {len(shared.words)} shared words")
    weight = out @ back.matrix
    if takes_out_mean(model_from.ln_final):  # LayerNorm takes the stream's mean away first
        weight = weight - weight.mean(0)
    return LinearMap(weight, weight.new_zeros(len(weight)), weight.new_zeros(weight.shape[1]), back.condition)


def _unembedding(model: "TransformerBridge", ids: Int[Tensor, " word"]) -> Float[Tensor, "d_model word"]:
    """The shared tokens' unembedding, without what it adds to all of them alike."""
    chosen = model.W_U[:, ids.to(model.W_U.device)].cpu().double()
    return chosen - chosen.mean(-1, keepdim=True)


@dataclass(frozen=True, eq=False)
class Translation:
    """One model's stream read with another's vocabulary, beside what both predict themselves; over the shared words only."""

    translated: Float[Tensor, "prompt word"]
    """Log-probabilities of the mapped stream, read by the target."""
    source: Float[Tensor, "prompt word"]
    """Log-probabilities of the source's own output."""
    target: Float[Tensor, "prompt word"]
    """Log-probabilities of the target's own output on the same prompts."""
    ids: tuple[str, ...]
    templates: tuple[str, ...]

    def agreement(self, with_: str = "source") -> Measurement:
        """1 where the translated prediction is the "source"'s, or the "target"'s, own."""
        same = self.translated.argmax(-1) == self._own(with_).argmax(-1)
        return Measurement(to_numpy(same), self.ids, self.templates, f"translated prediction is the {with_}'s", "share of prompts")

    def kl(self, with_: str = "source") -> Measurement:
        """KL(own output || translated), in nats."""
        own = self._own(with_)
        values = (own.exp() * (own - self.translated)).sum(-1)
        return Measurement(values.numpy(), self.ids, self.templates, f"KL from the {with_}'s own output", "nats")

    def _own(self, with_: str) -> Float[Tensor, "prompt word"]:
        if with_ not in ("source", "target"):
            raise MechcheckError(f'unknown side {with_!r}; choose "source" or "target"')
        return self.source if with_ == "source" else self.target


@usual_torch()
def translate(
    model_from: "TransformerBridge",
    model_to: "TransformerBridge",
    prompts: tuple[PromptSet, PromptSet],
    site: Sites,
    across: LinearMap,
    shared: SharedVocabulary,
) -> Translation:
    """Read the source's stream, mapped into the target's last stream, through the target's final norm and unembedding.

    Args:
        model_from, model_to: from `load_model`.
        prompts: the same prompts for each model.
        site: the source's stream at a named position, where also the own outputs are read.
        across: from that stream to the target's after its last layer.
        shared: from `shared_vocabulary(model_from, model_to, ...)`.
    """
    check_same_texts(*prompts)
    places = [_last_stream(model, site) for model in (model_from, model_to)]
    own = [readout(model, activations(model, one, at)) for model, one, at in zip((model_from, model_to), prompts, places, strict=True)]
    mapped = across(activations(model_from, prompts[0], site).cpu())
    read = readout(model_to, mapped.to(model_to.cfg.device, model_to.W_U.dtype))
    return Translation(
        _log_probs(read, shared.ids_to), _log_probs(own[0], shared.ids_from), _log_probs(own[1], shared.ids_to),
        prompts[1].ids, prompts[1].templates,
    )  # fmt: skip


def _last_stream(model: "TransformerBridge", like: Sites) -> Sites:
    """The stream after the last layer, at the position of a site."""
    return Sites(Site("resid_post", model.cfg.n_layers - 1, None, site.at) for site in like)


def _log_probs(logits: Logits, ids: Int[Tensor, " word"]) -> Float[Tensor, "prompt word"]:
    return logits.cpu().double()[:, ids].log_softmax(-1)
