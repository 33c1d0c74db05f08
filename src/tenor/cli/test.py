"""``tenor test``: the metrics of a model on the test split."""

from __future__ import annotations

from tenor.cli.options import DataArgument, DeviceOption, JsonOption, ModelArgument, ProgressOption
from tenor.cli.output import count_reads, print_json, print_metrics

SUMMARY = "Evaluate a model on the test split."

EXAMPLES = """
\b
Examples:
  tenor test models/conversation.safetensors analyzed
  tenor test models/author.safetensors analyzed --json
"""


def run(
    model: ModelArgument,
    data: DataArgument,
    device: DeviceOption = None,
    progress: ProgressOption = True,
    json: JsonOption = False,
) -> None:
    """Score the test split once, at the threshold that validation chose."""
    from tenor.evaluation import test_model
    from tenor.models.model_file import read_metadata

    level = read_metadata(model).level
    metrics = test_model(level, model, data, device=device, progress=progress)
    if json:
        print_json(metrics)
        return
    print_metrics({level: metrics}, title=f"test split of {data}", caption=count_reads(metrics))
