"""
Watching an endpoint: the same questions, round after round, compared with its own past.

The first look chooses the questions and takes the baseline. Every later one asks a round, ranks it among all before it,
and says whether the evidence of all rounds is an alarm. After an alarm the baseline's questions are asked once more, to
say what kind of change it was, and the watch stays alarmed until it is begun anew. With a ledger, what a killed run had
answered and not yet noted is taken from there; the same question in another round is another question.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from probe_match.fingerprinting.errors import NoAnswers
from probe_match.fingerprinting.guards import GuardedChat

from . import changing, sentinels
from .changing import ChangeVerdict
from .history import History, Kind, Round, Watch
from .records import USABLE, ChatClient, Transcript
from .sentinels import Plan

Progress = Callable[[int], None]


def look(
    client: ChatClient,
    history: History,
    *,
    alpha: float = 0.01,
    seed: int = 0,
    prompts: int = 400,
    plan: Plan | None = None,
    progress: Progress | None = None,
) -> ChangeVerdict:
    """
    Ask one round of a target, or begin to watch it, and judge all rounds so far.

    alpha: the chance that an endpoint that never changes ever gets an alarm. Raises TargetError where it cannot be
    asked, NoAnswers where the questions for a baseline are not answered.
    """
    before = client.sent
    watch = history.find(client.target) or _begin(client, history, plan or Plan(), seed, prompts, progress)
    base = _finished(client, history, watch, "baseline", watch.plan.baseline, progress)
    if base is not None:
        why = _says_nothing(history.transcript(watch, base))
        if why:
            history.forget(watch)
            raise NoAnswers(why)
        return _verdict(
            watch, history, alpha, client.sent - before, "Watching begins: the next look is the first to tell."
        )
    if not _alarmed(watch, history, alpha):
        one = _finished(client, history, watch, "round", 1, progress)
        assert one is not None
        new = history.transcript(watch, one)
        if not _comparable(new, _baseline(watch, history)):
            why = f"Only {_share(new, USABLE):.0%} of this round's questions were answered; silence is not sameness."
            return replace(_verdict(watch, history, alpha, client.sent - before, why), decision="inconclusive")
        added = changing.injected(_baseline(watch, history), new)
        if added and not _alarmed(watch, history, alpha):
            found = _verdict(watch, history, alpha, client.sent - before, changing.above(added))
            return replace(found, decision="configuration", details={"prompt_tokens_added": added})
    if not _alarmed(watch, history, alpha):
        return _verdict(watch, history, alpha, client.sent - before, "")
    _finished(client, history, watch, "again", watch.plan.baseline, progress, once=True)
    again = history.transcript(watch, history.rounds(watch, "again")[-1])
    kind, why, details = changing.diagnose(_baseline(watch, history), again, seed=watch.seed)

    return replace(_verdict(watch, history, alpha, client.sent - before, why), decision=kind, details=details)


def _begin(
    client: ChatClient, history: History, plan: Plan, seed: int, prompts: int, progress: Progress | None
) -> Watch:
    _set_occasion(client, "search")
    bank, searched = sentinels.choose(client, plan, seed=seed, prompts=prompts, progress=progress)

    return history.begin(client.target, bank, plan, searched, seed)


def _finished(
    client: ChatClient,
    history: History,
    watch: Watch,
    kind: Kind,
    rounds: int,
    progress: Progress | None,
    *,
    once: bool = False,
) -> Round | None:
    """Ask what is left of a round and close it; None where there is to be one of its kind only, and it is there."""
    if (once or kind == "baseline") and any(one.ended for one in history.rounds(watch, kind)):
        return None
    one = history.open_round(watch, kind)
    done = history.answered(one)
    left = sentinels.order(watch.bank, watch.plan, rounds)[done:]
    number = len(history.rounds(watch, kind))
    for start in range(0, len(left), sentinels.AT_ONCE):
        _set_occasion(client, f"{kind} {number} from {done + start}")
        answered = list(sentinels.ask(client, left[start : start + sentinels.AT_ONCE], progress=progress))
        history.note(one, done + start, answered)
    p = None
    if kind == "round":
        earlier = [history.transcript(watch, other) for other in history.rounds(watch) if _counts(other)]
        new = history.transcript(watch, one)
        baseline = _baseline(watch, history)
        if _comparable(new, baseline) and not changing.injected(baseline, new):
            p = changing.round_p(earlier, new, seed=watch.seed + one.number)
    history.end(one, p)

    return one


def _set_occasion(client: ChatClient, occasion: str) -> None:
    if isinstance(client, GuardedChat):
        client.occasion = occasion


def _counts(one: Round) -> bool:
    """Whether later rounds are ranked among the answers of this one."""
    return one.ended is not None and (one.kind == "baseline" or one.p is not None)


def _baseline(watch: Watch, history: History) -> Transcript:
    return history.transcript(watch, history.rounds(watch, "baseline")[0])


def _alarmed(watch: Watch, history: History, alpha: float) -> bool:
    return changing.evidence([one.p for one in history.rounds(watch, "round") if one.p], alpha)[2] is not None


def _says_nothing(baseline: Transcript) -> str | None:
    """Why nothing can be compared with the first answers, or None."""
    failed, words = _share(baseline, ("failed",)), _share(baseline, USABLE)
    if failed > 1 - changing.MIN_COVERAGE:
        return "too few of the first questions were answered to compare anything with; try again later"
    if words < changing.MIN_WORDS:
        return (
            f"expected a word in answer to each first question, got one to {words:.0%} of them (others came empty, "
            "filtered or as thoughts); such an endpoint cannot be watched"
        )
    said = {answer.text for given in baseline.answers.values() for answer in given if answer.status in USABLE}
    if len(said) == 1:
        return f"every first question was answered alike ({said.pop()[:40]!r}); such an endpoint cannot be watched"

    return None


def _comparable(new: Transcript, baseline: Transcript) -> bool:
    """Whether a round was answered about as often as the first questions: silence is neither sameness nor change."""
    return _share(new, USABLE) >= changing.MIN_COVERAGE * _share(baseline, USABLE)


def _share(transcript: Transcript, statuses: Sequence[str]) -> float:
    """Share of the answers that have one of these statuses."""
    answers = [answer for given in transcript.answers.values() for answer in given]

    return sum(answer.status in statuses for answer in answers) / max(1, len(answers))


def _verdict(watch: Watch, history: History, alpha: float, sent: int, why: str) -> ChangeVerdict:
    ranked = [one.p for one in history.rounds(watch, "round") if one.p]
    grown, needed, alarm = changing.evidence(ranked, alpha)
    quiet = f"Nothing changed in {len(ranked)} rounds that chance does not explain."

    return ChangeVerdict(
        target=watch.target,
        decision="unchanged",
        alpha=alpha,
        rounds=len(ranked),
        evidence=grown,
        needed=needed,
        alarm=alarm,
        p_values=ranked[-1] if ranked else None,
        sent=sent,
        why=why or quiet,
    )
