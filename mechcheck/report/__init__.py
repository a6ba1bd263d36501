"""Evidence as one HTML file that opens offline and reads with JavaScript off."""

from mechcheck.drawing.numbers import percent, sort_key, with_unit
from mechcheck.report._anchor import anchor
from mechcheck.report._claims import Decoys, Row, decoys, rank, row
from mechcheck.report._prompts import Which
from mechcheck.report._render import render, write_report

__all__ = ["Decoys", "Row", "Which", "anchor", "decoys", "percent", "rank", "render", "row", "sort_key", "with_unit", "write_report"]
