"""What the benchmarks share: shapes, jobs, rivals, counts of operations, alternating runs, tables."""

import os

# Read when tqdm is first imported: TransformerLens shows a bar for every sweep, which would count as its time.
os.environ.setdefault("TQDM_DISABLE", "1")
