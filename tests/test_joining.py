"""A reference on the public suite and its own together: every answer counts, and none twice."""

import numpy as np
import pytest
import worlds
from probe_match.fingerprinting.collect import collect
from probe_match.fingerprinting.confirming import confirm
from probe_match.fingerprinting.joining import joinable, joined
from probe_match.fingerprinting.records import ProbeSuite, Reference

FIRST = 12  # public probes that were sent


@pytest.fixture(scope="module")
def known() -> tuple[Reference, ProbeSuite]:
    """A reference with peers of its own, and the public suite that these answered too."""
    return worlds.enrolled()


def test_public_probes_come_first_and_none_twice(known: tuple[Reference, ProbeSuite]) -> None:
    """What was sent of the public suite, then the own probes that are not among it, with everybody's answers."""
    reference, public = known
    asked = collect(worlds.client(worlds.source().predict), public, rows=np.arange(FIRST))
    whole, answers = joined(reference, public, asked)
    inputs = np.asarray(whole.suite.inputs)

    assert joinable(reference)
    assert np.array_equal(inputs[:FIRST], np.asarray(public.inputs)[:FIRST])
    assert len(np.unique(inputs, axis=0)) == len(inputs) >= len(reference.suite)
    assert np.array_equal(whole.answers.label, worlds.source().predict(inputs))
    assert answers.answered.tolist() == [True] * FIRST + [False] * (len(inputs) - FIRST)
    assert whole.panel is not None
    copy = whole.panel.names.index("shadow (copy)")
    assert np.array_equal(whole.panel.labels[copy], whole.answers.label)


def test_answers_that_are_there_count_and_are_not_asked_again(known: tuple[Reference, ProbeSuite]) -> None:
    """Confirming goes on from them: new questions alone are sent, and the budget is of those."""
    reference, public = known
    suspect = worlds.Counting(next(iter(worlds.copies().values())).predict)
    asked = collect(worlds.client(suspect), public, rows=np.arange(FIRST))
    whole, answers = joined(reference, public, asked)
    rng = np.random.default_rng(0)
    result = confirm(worlds.client(suspect), whole, 20, 1, 0.01, None, rng, stop_early=False, asked=answers)

    assert suspect.rows == FIRST + 20
    assert (result.before, result.responses.sent) == (FIRST, FIRST + 20)
    assert result.evidence.llr > 0
