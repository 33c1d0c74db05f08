"""A model card: Markdown with the front matter that Hugging Face reads.

See Mitchell et al. (2019), Model Cards for Model Reporting. Knows nothing of HTML or of figures.
"""

from __future__ import annotations

from pathlib import Path

from tenor.report.content import Report


def write_model_card(report: Report, path: Path | str) -> Path:
    """Write the card."""
    raise NotImplementedError
