#!/bin/sh
# Print docs/results.md from the evidence of `make verify` and, where it is there, of a run on stories260k.
set -e
BIN=${BIN:-.venv/bin}
STORIES=reports/stories260k/evidence.json
NAMES="--model names-gpt2-seed4 --model names-gpt2-seed6 --model names-neox-seed2 --model names-gpt2-seed1 --model names-gpt2-seed0"
cat <<'TEXT'
# Results

Verdicts of the shipped claims, each with the estimate of the check that decided it and its 95% interval, on prompts that no circuit was found on.
Where the claims of a row were decided by different checks, each cell names its own.
"Refuted, as claimed" is a refutation that the claim predicted, with a positive control. Written by `sh docs/results.sh > docs/results.md`
after `make verify` (and `pytest claims --mech-model path/to/stories260k --mech-report reports/stories260k`).

TEXT
echo "## Two-layer decoders"
echo
"$BIN/mechcheck" summary reports/evidence.json $NAMES
echo
echo "## A four-layer decoder"
echo
"$BIN/mechcheck" summary reports/evidence.json --model years-gpt2-seed0
echo
echo "## An encoder"
echo
"$BIN/mechcheck" summary reports/evidence.json --model sentences-bert
echo
echo "## Compiled models"
echo
for model in compiled-ioi compiled-induction compiled-negative compiled-redundant; do
    "$BIN/mechcheck" summary reports/evidence.json --model $model
    echo
done
if test -f "$STORIES"; then
    echo "## stories260k, which nobody here trained"
    echo
    "$BIN/mechcheck" summary "$STORIES" --model stories260k
fi
