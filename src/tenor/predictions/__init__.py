"""Scores with their ids, groups, splits and labels, and their files; see ``table``, ``writing`` and ``reading``."""

from tenor.predictions.reading import from_arrow as from_arrow
from tenor.predictions.reading import read_predictions as read_predictions
from tenor.predictions.reading import read_sets as read_sets
from tenor.predictions.table import ID_COLUMNS as ID_COLUMNS
from tenor.predictions.table import ID_SEPARATOR as ID_SEPARATOR
from tenor.predictions.table import Floats as Floats
from tenor.predictions.table import Integers as Integers
from tenor.predictions.table import Label as Label
from tenor.predictions.table import Level as Level
from tenor.predictions.table import Predictions as Predictions
from tenor.predictions.table import Strings as Strings
from tenor.predictions.table import concatenate_predictions as concatenate_predictions
from tenor.predictions.table import find_predicted as find_predicted
from tenor.predictions.table import require_predictions as require_predictions
from tenor.predictions.table import require_unique_ids as require_unique_ids
from tenor.predictions.writing import FORMAT_VERSION as FORMAT_VERSION
from tenor.predictions.writing import PredictionSets as PredictionSets
from tenor.predictions.writing import export_csv as export_csv
from tenor.predictions.writing import neutralize_cell as neutralize_cell
from tenor.predictions.writing import require_output as require_output
from tenor.predictions.writing import to_arrow as to_arrow
from tenor.predictions.writing import write_parts as write_parts
from tenor.predictions.writing import write_predictions as write_predictions
