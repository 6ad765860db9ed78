"""
Recorded texts whose prompts nobody chose: a reference or a suspect from a file, judged by how it writes.

Two recordings need not share a prompt. What decides is how far the suspect's style stands out twice, among its own
likenesses to all references and among the other references', each drawn to the suspect's number of texts. Style tells
families apart better than versions, and rewriting washes it off: most honest verdicts of it are "inconclusive".
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from probe_match.fingerprinting.cohort import stand_out
from probe_match.fingerprinting.errors import NoAnswers
from probe_match.fingerprinting.records import Decision, Match, Verdict
from probe_match.fingerprinting.verdicts import MIN_ANSWERED, Evidence, deciding_p, is_match

from . import style_space
from .records import USABLE, Answer, Bank, ChatReference, Question, Sampling, Transcript
from .transcripts import Turn

LEAST: Final = 0.5  # nats; log ratios that differ by less tell no model from another
FEWEST: Final = style_space.FEWEST


def transcript_of(turns: Sequence[Turn], target: str) -> tuple[Bank, Transcript]:
    """The bank that a recording asks, one cell a prompt, and its answers."""
    answers: dict[str, list[Answer]] = defaultdict(list)
    questions: dict[str, Question] = {}
    for turn in turns:
        words = f"{turn.system}\0{turn.temperature}\0{turn.prompt}"
        cell = f"recorded/{hashlib.sha256(words.encode(errors='surrogatepass')).hexdigest()[:12]}"
        warmth = min(max(1.0 if turn.temperature is None else turn.temperature, 0.0), 2.0)
        questions[cell] = Question(
            cell, "recorded", turn.prompt, "text", turn.system or None, Sampling(warmth, 1024), language=""
        )
        answers[cell].append(turn.answer)
    bank = Bank("recorded", tuple(questions[cell] for cell in sorted(questions)))
    held = {cell: tuple(some) for cell, some in answers.items()}

    return bank, Transcript(target, held, bank.digest, len(turns))


def texts_of(references: Sequence[ChatReference]) -> dict[str, list[str]]:
    """Whole texts of the references that have enough of them, by name."""
    held = {known.name: [text for some in known.texts.values() for text in some] for known in references}
    return {name: texts for name, texts in held.items() if len(texts) >= 2 * FEWEST}


def identify(
    turns: Sequence[Turn], known: Mapping[str, Sequence[str]], *, target: str, alpha: float, seed: int
) -> Verdict:
    """
    The verdict on whose style recorded texts are of. known: texts by reference, as `texts_of` gives them.

    Raises NoAnswers where fewer than three references have texts.
    """
    texts = [turn.answer.text for turn in turns if turn.answer.status in USABLE and turn.answer.text.strip()]
    if len(known) < FEWEST:
        raise NoAnswers(
            f"expected at least {FEWEST} references with whole texts to compare style with, got {len(known)}; enroll "
            "some with --family chat-open, or recordings with --family recorded"
        )
    if len(texts) < MIN_ANSWERED:
        why = f"Only {len(texts)} texts were recorded; at least {MIN_ANSWERED} are needed to decide anything."
        return _verdict(target, turns, len(texts), ("inconclusive", why), [], alpha)
    evidence = compare(texts, known, seed=seed)
    best = evidence[0]
    p, _ = deciding_p(best, len(known), alpha)
    among = f" among {len(known)} references"
    decision: tuple[Decision, str] = (
        "inconclusive",
        f"The texts are written most like those of '{best.reference}', but p = {p:.2g} does not reach {alpha:g}"
        f"{among}.",
    )
    if is_match(best, len(known), alpha):
        decision = (
            "match",
            f"The texts are written as those of '{best.reference}' or a near relative are: another model writes so "
            f"alike with probability {p:.2g}{among}.",
        )

    return _verdict(target, turns, len(texts), decision, evidence, alpha)


def compare(texts: Sequence[str], known: Mapping[str, Sequence[str]], *, seed: int) -> list[Evidence]:
    """Evidence for each reference from the style of some texts, best first."""
    rng = np.random.default_rng(seed)
    space, placed = style_space.learn(known)
    writers = style_space.gather([style_space.writer(some) for some in placed.values()], space)
    rows = []
    for some in placed.values():
        drawn = rng.choice(len(some.at), min(len(texts), len(some.at)), replace=False)
        part = style_space.Placed(some.at[drawn], some.there[drawn])
        rows.append(style_space.log_ratio(style_space.writer(part), writers, space))
    mine = style_space.log_ratio(style_space.enroll(texts, space), writers, space)

    return stand_out(np.vstack([*rows, mine]), mine, mine, list(known), len(texts), LEAST, "classes")


def _verdict(
    target: str,
    turns: Sequence[Turn],
    answered: int,
    decision: tuple[Decision, str],
    evidence: list[Evidence],
    alpha: float,
) -> Verdict:
    best = evidence[0] if evidence else None
    searched = len(evidence)
    matches = []
    for one in evidence:
        decides, conformal = deciding_p(one, searched, alpha)
        matches.append(Match(one.reference, one.score, one.llr, decides, conformal))

    return Verdict(
        target=target,
        decision=decision[0],
        reference=best.reference if best and decision[0] == "match" else None,
        relation=None,
        alpha=alpha,
        method="style",
        suite="",
        access="text",
        matches=tuple(matches),
        sent=len(turns),
        answered=answered,
        saved=0,
        coverage=answered / len(turns) if turns else 0.0,
        cohort=best.peers if best else 0,
        nearest_peer=best.nearest_peer if best else None,
        why=decision[1],
    )
