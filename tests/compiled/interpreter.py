"""What a blueprint means, computed from its declarations alone: no weights, no LayerNorm, no layout of dimensions."""

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from mechcheck.compiled import ALWAYS, compile_weights, config_of, token_ids


def interpret(blueprint, words):
    """(head's place -> attention [q, k], output register -> logits [pos, word])."""
    places = np.arange(len(words))
    stream = {}
    for register in blueprint.registers:
        values = np.zeros((len(words), register.width))
        if register.positional:
            values[places[1:], places[1:] - 1] = 1.0
        elif register.code is not None:
            for place, word in enumerate(words):
                if word in register.words:
                    values[place] = register.code[register.words.index(word)]
        stream[register.name] = values
    attention = {}
    for layer in range(blueprint.n_layers):
        written = {name: values.copy() for name, values in stream.items()}
        for (at, index), head in blueprint.placed:
            if at == layer:
                pattern = attention[at, index] = softmax(
                    sum((scores(match, stream) for match in head.matches), np.zeros((len(words),) * 2))
                )
                for move in head.moves:
                    written[move.to] = written[move.to] + move.gain * pattern @ stream[move.read]
        stream = written
    return attention, {out: stream[out] @ blueprint.by_name[of].code.T for out, of in blueprint.outputs.items()}


def scores(match, stream):
    key = stream[match.key]
    if match.query == ALWAYS:
        return np.broadcast_to(match.gain * key[:, 0], (len(key), len(key)))
    wanted = np.zeros_like(key)
    for place, query in enumerate(stream[match.query]):
        for i, value in enumerate(query):
            if 0 <= i + match.offset < len(query):
                wanted[place, i + match.offset] += value
    return match.gain * wanted @ key.T


def softmax(values):
    masked = np.where(np.tril(np.ones_like(values)) == 1, values, -np.inf)
    powers = np.exp(masked - masked.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def compiled_run(blueprint, words):
    """The compiled weights in Hugging Face's own model: (attention [layer][head, q, k], logits [pos, d_vocab])."""
    ids = token_ids()
    config = GPT2Config(**config_of(blueprint, len(ids)), attn_implementation="eager")
    with torch.device("meta"):
        model = GPT2LMHeadModel(config)
    model.load_state_dict(compile_weights(blueprint, ids), assign=True)
    with torch.no_grad():
        out = model.eval()(torch.tensor([[ids[word] for word in words]]), output_attentions=True)
    return [pattern[0].numpy() for pattern in out.attentions], out.logits[0].numpy()
