"""Reading sources of any format as conversations: strict, streaming, no broken rule passed in silence."""

from tenor.corpus.readers.columns import ColumnMap as ColumnMap
from tenor.corpus.readers.columns import make_column_map as make_column_map
from tenor.corpus.readers.records import Limits as Limits
from tenor.corpus.readers.records import Reject as Reject
from tenor.corpus.readers.source import FORMATS as FORMATS
from tenor.corpus.readers.source import Format as Format
from tenor.corpus.readers.source import read_source as read_source
from tenor.corpus.readers.tally import Tally as Tally
