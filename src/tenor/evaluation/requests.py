"""What is asked of a prediction or a test, refused before anything is read where it cannot be.

Knows nothing of how scores come to be.
"""

from __future__ import annotations

from pathlib import Path

from tenor.arguments import check_seed, require_flags
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
    progress: bool,
) -> None:
    """Refuse at once what would be refused only after all has been scored; the arguments are those of `predict`.

    Raises:
        UsageError: a flag that is none, an unknown rule, alpha out of range, a validation corpus that nothing is
            fitted on, or an output that is no place for predictions.
        StorageError: as require_output.
    """
    require_flags(calibrate=calibrate, progress=progress)
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


def check_test(rule: str | None, abstain_alpha: float | None, seed: object, **flags: object) -> int:
    """Refuse at once what a test would be refused for only after all has been scored.

    Args:
        rule: as of `test_model`; so is `abstain_alpha`.
        abstain_alpha: as of `test_model`.
        seed: of the bootstrap.
        flags: arguments that are True or False, by name.

    Returns:
        The seed.

    Raises:
        UsageError: a flag that is none, an unknown rule, alpha out of range, or a seed that is no whole number.
    """
    require_flags(**flags)
    check_adjustment(rule, abstain_alpha)
    return check_seed(seed)
