"""What heads copy and what they match, read off their weights alone: eigenvalues of OV and QK circuits over the vocabulary."""

from functools import reduce
from operator import add

from mechcheck import Heatmap, claim, copying_eigenvalue_scores, head_heatmap, ov_circuit, qk_circuit

ELHAGE = "Elhage et al. 2021, transformer-circuits.pub/2021/framework"
WANG = "Wang et al. 2022, arXiv:2211.00593"
# Models that do induction on random tokens, as was measured before these claims were written.
WITH = ["names-gpt2-seed1", "names-gpt2-seed4", "names-gpt2-seed6", "names-neox-seed2"]
COPIES = 0.5  # halfway between a head that knows nothing of its own token (0) and one that maps every token onto itself (1)
SHOWN = 24


def mean_of(measurements):
    """The mean over heads, token by token."""
    return (reduce(add, measurements) / len(measurements)).named("own-token score")


def name_tokens(prompts):
    """The token ids of the people in the prompts."""
    row = range(len(prompts))
    return sorted({int(token) for name in ("IO", "S1") for token in prompts.tokens[row, prompts.position(name)]})


@claim(
    "By their weights, induction heads write the token that they attend to: the eigenvalues of their OV circuits are positive",
    source=ELHAGE, task="induction", kind="structure", models=WITH,
)  # fmt: skip
def test_induction_heads_copy(model, circuit, check):
    circuits = [ov_circuit(model, pair) for pair in circuit["induction"].pairs]
    check.above(mean_of([found.own_token for found in circuits]), COPIES)
    check.figure(head_heatmap("Eigenvalue copying score of OV circuits", copying_eigenvalue_scores(model), "sum Re / sum | |"))
    check.figure(circuits[0].heatmap(circuits[0].tokens[:SHOWN].tolist()))


@claim(
    "By their weights, name movers write the name that they attend to",
    source=WANG, task="ioi", kind="structure", expect={"names-gpt2-seed0": "refuted"},
)  # fmt: skip
def test_name_movers_copy_names(model, prompts, circuit, check):
    """The circuit over names only: names compete with names."""
    names = name_tokens(prompts)
    circuits = [ov_circuit(model, pair, names) for pair in circuit["name_mover"].pairs]
    check.above(mean_of([found.own_token for found in circuits]), COPIES)
    check.figure(head_heatmap("Eigenvalue copying score over names", copying_eigenvalue_scores(model, names), "sum Re / sum | |"))
    check.figure(circuits[0].heatmap(names[:SHOWN]))


@claim(
    "By their weights, induction heads match a token with the same token carried on by the previous-token heads, and by no other",
    source=ELHAGE, task="induction", kind="structure", models=WITH, decoy={"circuit": {"previous_token": "0.3@NEXT"}},
)  # fmt: skip
def test_induction_heads_match_what_was_carried_on(model, circuit, check):
    """Their QK circuit behind each first-layer head on the key's side; the other heads of that layer are the control."""
    readers, carriers = circuit["induction"].pairs, circuit["previous_token"].pairs
    layer = carriers[0][0]
    scores = {
        head: mean_of([qk_circuit(model, reader, key_through=(layer, head)).own_token for reader in readers])
        for head in range(model.cfg.n_heads)
    }
    carried = mean_of([scores[head] for _, head in carriers])
    others = mean_of([scores[head] for head in scores if (layer, head) not in carriers])
    check.above(carried, COPIES)
    check.greater(carried.named("own-token score behind the previous-token heads"), others.named("behind the others"), margin=0.25)
    values = [[qk_circuit(model, reader, key_through=(layer, head)).own_token_score for reader in readers] for head in scores]
    rows, columns = ([f"{la}.{head}" for la, head in pairs] for pairs in ([(layer, head) for head in scores], readers))
    check.figure(Heatmap("Own-token score of QK circuits", values, rows, columns, "key carried by", "matched by", "sum Re / sum | |"))
