"""
Numeric recall at the edge of knowledge: quantities that models know a little, and differently (after KBF, arXiv
2605.29524).

What is right plays no part: models differ in what they take to be so. Questions are a thing and a quantity of it,
hundreds in all, drawn anew, at temperature 0.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from probe_match.fingerprinting.chat.records import Bank, Question, Sampling
from probe_match.fingerprinting.errors import UsageError

from . import _phrases

KINDS: Final = ("chat",)
NEEDS: Final = "nothing"
SAMPLING: Final = Sampling(temperature=0.0, max_tokens=12)
SYSTEM: Final = "Answer with one number in digits, your best estimate, and nothing more."
THINGS: Final[dict[str, tuple[str, ...]]] = {
    "the [boiling|melting] point of {} in degrees Celsius": (
        "hafnium", "rhenium", "ytterbium", "gallium", "tellurium", "osmium", "lutetium", "cerium", "bismuth", "thallium",
        "anthracene", "camphor", "naphthalene", "aniline", "cyclohexanone", "furan",
    ),
    "the number of chromosomes in a body cell of {}": (
        "a hedgehog", "a carp", "a red fox", "rye", "an adder's-tongue fern", "a turkey", "a silkworm", "a guinea pig",
        "cotton", "a kingfisher", "a wolf", "a field pea", "a starfish", "a platypus",
    ),
    "the height of {} above sea level in metres": (
        "Erzurum", "Potosí", "Kiruna", "Zermatt", "Arequipa", "Bloemfontein", "Shiraz", "Leadville", "Guiyang", "Andorra la Vella",
        "Mount Elgon", "Piz Bernina", "Jebel Toubkal", "Mount Ossa", "Rysy", "Galdhøpiggen",
    ),
    "the length of the river {} in kilometres": (
        "Vychegda", "Drava", "Tagus", "Lachlan", "Kasai", "Purus", "Ob", "Warta", "Maritsa", "Fly", "Orange", "Aras", "Kemi", "Ebro",
    ),
    "the year in which {} was founded": (
        "the University of Tartu", "the city of Perm", "the Uffizi", "the Royal Society of Edinburgh", "Nokia", "Zeiss",
        "the University of Coimbra", "Montevideo", "the Concertgebouw", "Faber-Castell", "Arkhangelsk", "the Kew herbarium",
    ),
    "the atomic mass of {} to two decimals": ("rubidium", "indium", "tantalum", "erbium", "scandium", "antimony", "niobium", "terbium"),
    "the number of inhabitants of {}, in thousands": (
        "Tromsø", "Ghent", "Cuenca in Ecuador", "Osijek", "Nantes", "Dunedin", "Chiang Mai", "Plovdiv", "Tampere", "Ibadan",
    ),
}  # fmt: skip
ASK: Final = "[State|Give|Estimate] {what}[, as well as you know it|, roughly if need be|]."


def generate(*, n: int, seed: int, languages: Sequence[str] = ("en",)) -> Bank:
    """A bank of n cells, each another thing or quantity; English only. Raises UsageError where there are not so many."""
    if tuple(languages) != ("en",):
        raise UsageError(f"recall is asked for in English alone, got {', '.join(languages)}")
    rng = np.random.default_rng(seed)
    pairs = [(what, thing) for what, things in THINGS.items() for thing in things]
    if n > len(pairs):
        raise UsageError(f"there are {len(pairs)} things to recall, got n={n}; ask for fewer")
    questions = []
    for what, thing in (pairs[i] for i in rng.permutation(len(pairs))[:n]):
        text = _phrases.expand(ASK.format(what=what.format(thing)), rng)
        questions.append(Question(f"recall/en/{_phrases.short(text)}", "recall", text, "number", SYSTEM, SAMPLING))

    return _phrases.bank("chat-recall", questions)
