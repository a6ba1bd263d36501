"""Figures as SVG and as HTML, drawn from plain data: for the report, for files, for notebooks."""
