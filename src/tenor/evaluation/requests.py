"""What is asked of a prediction, refused before anything is read where it cannot be.

Knows nothing of how scores come to be.
"""

from __future__ import annotations

from pathlib import Path

from tenor.errors import UsageError
from tenor.evaluation.calibration import check_adjustment
from tenor.files import require_apart
from tenor.predictions import require_output


def check_request(
    model_path: str | Path,
    dataset_path: str | Path,
    output: str | Path | None,
    *,
    calibrate: bool,
    threshold: str | None,
    abstain_alpha: float | None,
    validation: str | Path | None,
) -> None:
    """Refuse at once what would be refused only after all has been scored; the arguments are those of `predict`.

    Raises:
        UsageError: an unknown rule, alpha out of range, a validation corpus that nothing is fitted on, or an output
            that is no place for predictions.
        StorageError: as require_output.
    """
    check_adjustment(threshold, abstain_alpha)
    if validation is not None and not calibrate and threshold is None and abstain_alpha is None:
        raise UsageError(
            f"validation: expected something to fit on {validation}, found nothing (ask for calibrated probabilities, "
            "a threshold or abstention, or leave it out)"
        )
    require_apart(
        {"output": output},
        {"model": model_path, "corpus": dataset_path, "validation": validation},
        closed=("corpus", "validation"),
    )
    require_output(output)
