"""
Whether a target was asked under the conditions its reference was: if not, nothing is judged across them.

Three things change answers without changing the model: a system prompt put above ours, which the server's own count of
prompt tokens gives away; answers kept from earlier and given again, which vary less than any known model's; and
reasoning before the answer that cannot be switched off.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from .reading import count
from .records import Bank, ChatReference, Transcript

OFFSET: Final = 4  # tokens by which counts of one template may differ, for a line break or a role
ENOUGH: Final = 3  # cells whose tokens both sides counted, from which an offset is told
CHANCE: Final = 1e-4  # of so little variance in the least varied known model, below which answers were kept
REPEATED: Final = 2  # answers of a cell from which repeats are seen


def differing(
    transcript: Transcript, bank: Bank, nearest: ChatReference, known: Mapping[str, ChatReference]
) -> str | None:
    """
    What differs from the conditions of the references, as one sentence, or None where nothing is known to.

    nearest: the reference that answers most alike, whose server's count of tokens ours is compared with.
    """
    for note in transcript.notes:
        if note.startswith("reasons before"):
            return f"The target {note}; its references were asked without reasoning."
    added = added_tokens(transcript, nearest)
    if added is not None and added > OFFSET:
        return (
            f"The server counts {added} tokens more in every question than when '{nearest.name}' was enrolled: a "
            "system prompt is put above ours, and answers under another prompt are not compared."
        )
    drawn = {question.cell for question in bank.questions if question.sampling.temperature > 0}
    if kept_answers({cell: some for cell, some in count(bank, transcript).items() if cell in drawn}, known):
        return (
            "Answers to a question asked again never vary, which no known model's do: they are kept from before, or "
            "drawn at temperature 0, and are not compared with drawn ones."
        )

    return None


def added_tokens(transcript: Transcript, reference: ChatReference) -> int | None:
    """
    Prompt tokens that the server counts above what it did for the reference, the same in every cell.

    None where either did not count, or where the differences vary, as they do with another tokenizer.
    """
    differences = [now - then for now, then in _counted(transcript, reference)]
    if len(differences) < ENOUGH or len(set(differences)) > 1:
        return None

    return differences[0]


def other_tokenizer(transcript: Transcript, reference: ChatReference) -> bool:
    """Whether the counts of prompt tokens differ by amounts that depend on the question."""
    differences = {now - then for now, then in _counted(transcript, reference)}
    return len(differences) > 1


def kept_answers(counts: dict[str, dict[str, int]], known: Mapping[str, ChatReference]) -> bool:
    """Whether a target never varies where it was asked again, against all odds of even the least varied model."""
    repeated = {cell: sum(some.values()) for cell, some in counts.items() if sum(some.values()) >= REPEATED}
    if len(repeated) < ENOUGH or any(len(counts[cell]) > 1 for cell in repeated) or not known:
        return False
    odds = [
        sum(_log_chance(reference.counts[cell], n) for cell, n in repeated.items() if reference.counts.get(cell))
        for reference in known.values()
    ]

    return max(odds) < np.log(CHANCE)


def _counted(transcript: Transcript, reference: ChatReference) -> list[tuple[int, int]]:
    """Prompt tokens now and then, by cell that both servers counted."""
    found = []
    for cell, answers in transcript.answers.items():
        counted = [answer.prompt_tokens for answer in answers if answer.prompt_tokens >= 0]
        if counted and cell in reference.prompt_tokens:
            found.append((min(counted), reference.prompt_tokens[cell]))
    return found


def _log_chance(counts: Mapping[str, int], n: int) -> float:
    """That n answers of a known model are all the same; natural logarithm."""
    values = np.array(list(counts.values()), float)
    return float(np.log(((values / values.sum()) ** n).sum()))
