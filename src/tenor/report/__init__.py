"""One run as a self-contained page and as a model card.

`Report` holds the data, `write_report` makes the page, `write_model_card` the card. Light to import:
matplotlib and jinja2 are loaded when a page is written.
"""

from tenor.report.card import write_model_card as write_model_card
from tenor.report.content import AuditFinding as AuditFinding
from tenor.report.content import Difference as Difference
from tenor.report.content import ErrorMessage as ErrorMessage
from tenor.report.content import LevelSection as LevelSection
from tenor.report.content import Report as Report
from tenor.report.content import Scorer as Scorer
from tenor.report.content import Subgroup as Subgroup
from tenor.report.content import WorstError as WorstError
from tenor.report.page import write_report as write_report
