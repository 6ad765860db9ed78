"""
What can go wrong, as one tree.

    ProbeMatchError            anything a user can cause and mend: printed as one line, exit code 2
    ├── UsageError             an argument, plug-in name or option that does not exist or does not fit
    │   └── MissingPackage     an optional package is not installed; the message is the pip line
    ├── BadData                a pool, suite or model file that is missing, broken or unusable
    ├── SuiteMismatch          two things that belong to different probe suites or inputs
    ├── TargetError            a model or endpoint that is down, refuses, or answers nonsense
    │   └── InputRefused       it fails on these inputs, perhaps on one of them: fewer at once may pass
    ├── BudgetSpent            a limit on queries, tokens, dollars or seconds; what came before it is kept
    ├── NoAnswers              too little was answered to say anything
    └── DatabaseError          a reference database that cannot be read, written or trusted

A message says what was expected, what came, and what to do. Anything else that is raised is a bug and keeps its
traceback.
"""


class ProbeMatchError(Exception):
    """Root of all errors a user can cause and mend."""


class UsageError(ProbeMatchError):
    """An argument, plug-in name or option that does not exist or does not fit."""


class MissingPackage(UsageError):  # noqa: N818 - reads as what is the matter
    """An optional package is not installed."""


class BadData(ProbeMatchError):  # noqa: N818
    """A pool, suite or model file that is missing, broken or unusable."""


class SuiteMismatch(ProbeMatchError):  # noqa: N818
    """Two things that belong to different probe suites or inputs."""


class TargetError(ProbeMatchError):
    """A model or endpoint that is down, refuses, or answers nonsense."""


class InputRefused(TargetError):  # noqa: N818
    """
    It fails on these inputs, perhaps on one of them: fewer at once may pass. answered: it did answer, in a way that
    cannot be used; that may be paid for, so nothing is asked again.
    """

    answered = False


class BudgetSpent(ProbeMatchError):  # noqa: N818
    """A limit on queries, tokens, dollars or seconds was reached before a question was sent."""


class NoAnswers(ProbeMatchError):  # noqa: N818
    """Too little was answered to say anything."""


class DatabaseError(ProbeMatchError):
    """A reference database that cannot be read, written or trusted."""
