"""What the notebooks of the course use: answers checked, predictions kept, verdicts in one stable line, profiles."""

from lab.course.answers import check
from lab.course.parameters import only
from lab.course.predictions import predict
from lab.course.profiles import profile
from lab.course.verdict_lines import verdict

__all__ = ["check", "only", "predict", "profile", "verdict"]
