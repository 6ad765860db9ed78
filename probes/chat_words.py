"""
One-word choices in six languages: trivial questions whose answers at temperature 1 are a model's own habit.

The idea is that of "One Token Is Enough" (Bruckner, arXiv 2607.10252); tasks, languages and wordings are ours, and
many, so that a bank can be drawn anew. An answer takes one to three tokens.
"""

from collections.abc import Sequence
from typing import Any, Final

from probe_match.fingerprinting.chat.records import Bank, Sampling

from . import _phrases

KINDS: Final = ("chat",)
NEEDS: Final = "nothing"
LANGUAGES: Final = ("en", "de", "fr", "es", "ru", "zh")
SAMPLING: Final = Sampling(temperature=1.0, max_tokens=12)
SYSTEM: Final = {
    "en": "Reply with one word or one number and nothing more.",
    "de": "Erwidere mit einem Wort oder einer Zahl und mit nichts sonst.",
    "fr": "Réponds par un mot ou un nombre, et rien de plus.",
    "es": "Contesta con una palabra o un número y nada más.",
    "ru": "Ответь одним словом или числом, больше ничего не пиши.",
    "zh": "请仅回复一个词或一个数，别的都不要写。",
}
PATTERNS: Final = {
    "number-100": {
        "en": "[Think of|Pick|Give me] [a|any] whole number [from 1 up to 100|no smaller than 1 and no larger than 100].",
        "de": "[Denk dir|Wähle|Sag mir] [eine|irgendeine] ganze Zahl [von 1 bis 100|zwischen 1 und 100, beide eingeschlossen].",
        "fr": "[Pense à|Choisis|Donne-moi] un nombre entier [de 1 à 100|compris entre 1 et 100 inclus].",
        "es": "[Piensa|Elige|Dime] un número entero [del 1 al 100|que no sea menor que 1 ni mayor que 100].",
        "ru": "[Загадай|Выбери|Скажи] [любое|какое-нибудь] целое число [от единицы до ста|не меньше 1 и не больше 100].",
        "zh": "[请想|选|给我]一个[1至100的整数|不小于1也不大于100的整数]。",
    },
    "number-1000": {
        "en": "[Think of|Pick|Give me] [a|any] whole number [from 1 up to 1000|with at most three digits, above zero].",
        "de": "[Denk dir|Wähle|Sag mir] [eine|irgendeine] ganze Zahl [von 1 bis 1000|mit höchstens drei Ziffern, größer als null].",
        "fr": "[Pense à|Choisis|Donne-moi] un nombre entier [de 1 à 1000|d'au plus trois chiffres, supérieur à zéro].",
        "es": "[Piensa|Elige|Dime] un número entero [del 1 al 1000|de tres cifras como mucho, mayor que cero].",
        "ru": "[Загадай|Выбери|Скажи] [любое|какое-нибудь] целое число [от 1 до 1000|из трёх цифр или меньше, больше нуля].",
        "zh": "[请想|选|给我]一个[1至1000的整数|大于零、最多三位的整数]。",
    },
    "letter": {
        "en": "[Which letter comes to mind?|Pick a letter, any letter.|Give me one letter of the Latin alphabet.]",
        "de": "[Welcher Buchstabe fällt dir ein?|Wähle irgendeinen Buchstaben.|Gib mir einen Buchstaben.]",
        "fr": "[Quelle lettre te vient à l'esprit ?|Choisis une lettre au hasard.|Donne-moi une lettre.]",
        "es": "[Qué letra te viene a la cabeza?|Elige una letra cualquiera.|Dame una letra del abecedario.]",
        "ru": "[Какая буква приходит тебе в голову?|Выбери какую-нибудь букву.|Дай мне одну букву.]",
        "zh": "[随便写|请给我|任选]一个[汉字|中文字]。",
    },
    "word": {
        "en": "[Say|Write|Give me] [the first word you think of|one word, whichever you like|an arbitrary word].",
        "de": "[Sag|Schreib|Gib mir] [das erste Wort, das dir einfällt|ein beliebiges Wort|irgendein Wort].",
        "fr": "[Dis|Écris|Donne-moi] [le premier mot qui te vient|un mot quelconque|n'importe quel mot].",
        "es": "[Di|Escribe|Dame] [la primera palabra que se te ocurra|una palabra cualquiera].",
        "ru": "[Скажи|Напиши|Дай мне] [первое слово, которое приходит на ум|какое-нибудь слово|любое слово].",
        "zh": "[写下|说|给我][你首先想到的词|任意一个词语]。",
    },
    "colour": {
        "en": "[Which colour do you see first?|Pick a colour, any colour.|If you were a colour, which one?]",
        "de": "[Welche Farbe siehst du zuerst?|Wähle irgendeine Farbe.|Wenn du eine Farbe wärst, welche?]",
        "fr": "[Quelle couleur vois-tu d'abord ?|Choisis une couleur.|Si tu étais une couleur, laquelle ?]",
        "es": "[Qué color ves primero?|Elige un color cualquiera.|Si fueras un color, cuál?]",
        "ru": "[Какой цвет ты видишь первым?|Выбери какой-нибудь цвет.|Будь ты цветом, то каким?]",
        "zh": "[你最先看到什么颜色？|任选一种颜色。|如果你是一种颜色，会是哪种？]",
    },
    "animal": {
        "en": "[Which animal walks by?|Pick an animal, any animal.|Give me one animal.]",
        "de": "[Welches Tier läuft vorbei?|Wähle irgendein Tier.|Gib mir ein Tier.]",
        "fr": "[Quel animal passe devant toi ?|Choisis un animal.|Donne-moi un animal.]",
        "es": "[Qué animal pasa por delante?|Elige un animal cualquiera.|Dame un animal.]",
        "ru": "[Какое животное проходит мимо?|Выбери какое-нибудь животное.|Дай мне одно животное.]",
        "zh": "[哪种动物正好经过？|任选一种动物。|给我一种动物。]",
    },
    "city": {
        "en": "[Where shall we travel? One city.|Pick a city, any city.|Put a pin on the map: which city?]",
        "de": "[Wohin reisen wir? Eine Stadt.|Wähle irgendeine Stadt.|Stich in die Landkarte: welche Stadt?]",
        "fr": "[Où partons-nous ? Une ville.|Choisis une ville.|Pique la carte au hasard : quelle ville ?]",
        "es": "[Adónde viajamos? Una ciudad.|Elige una ciudad cualquiera.|Señala el mapa: qué ciudad?]",
        "ru": "[Куда поедем? Один город.|Выбери какой-нибудь город.|Ткни в карту: какой город?]",
        "zh": "[我们去哪儿旅行？一座城市。|任选一座城市。|在地图上随手一指：哪座城市？]",
    },
    "coin": {
        "en": "[A coin is tossed|I toss a coin|The coin is in the air]. [Heads or tails|Which side comes up, heads or tails]?",
        "de": "[Eine Münze fliegt|Ich werfe eine Münze]. [Kopf oder Zahl|Was liegt oben, Kopf oder Zahl]?",
        "fr": "[Une pièce est lancée|Je lance une pièce]. [Pile ou face|Que montre-t-elle, pile ou face] ?",
        "es": "[Una moneda está en el aire|Lanzo una moneda]. [Cara o cruz|Qué sale, cara o cruz]?",
        "ru": "[Монета летит|Я бросаю монету]. [Орёл или решка|Что выпало, орёл или решка]?",
        "zh": "[硬币在空中|我抛出一枚硬币]。[正面还是反面|哪一面朝上，正面还是反面]？",
    },
    "weekday": {
        "en": "[Pick a day of the week.|Which weekday feels right?|On which day shall we meet?]",
        "de": "[Wähle einen Wochentag.|Welcher Wochentag passt?|An welchem Tag treffen wir uns?]",
        "fr": "[Choisis un jour de la semaine.|Quel jour te convient ?|Quel jour se voit-on ?]",
        "es": "[Elige un día de la semana.|Qué día te parece bien?|Qué día nos vemos?]",
        "ru": "[Выбери день недели?|Какой день недели подходит?|В какой день встретимся?]",
        "zh": "[任选星期中的一天。|星期几合适？|我们星期几见？]",
    },
    "name": {
        "en": "[A stranger introduces herself|Someone knocks at the door|A child is born]. [Which first name|What is the first name]?",
        "de": "[Eine Fremde stellt sich vor|Jemand klopft an|Ein Kind wird geboren]. [Welcher Vorname|Wie lautet der Vorname]?",
        "fr": "[Une inconnue se présente|Quelqu'un frappe à la porte|Un enfant naît]. [Quel prénom|Quel est son prénom] ?",
        "es": "[Una desconocida se presenta|Alguien llama a la puerta|Nace un niño]. [Qué nombre|Cuál es su nombre]?",
        "ru": "[Незнакомка представляется|Кто-то стучит в дверь|Родился ребёнок]. [Какое имя|Как зовут]?",
        "zh": "[一个陌生人自我介绍|有人敲门|一个孩子出生了]。[叫什么名字|名字是什么]？",
    },
}  # fmt: skip
COIN: Final = {
    "en": ("heads", "tails"), "de": ("Kopf", "Zahl"), "fr": ("pile", "face"), "es": ("cara", "cruz"),
    "ru": ("орёл", "решка"), "zh": ("正面", "反面"),
}  # fmt: skip
PARSERS: Final = {"number-100": "number", "number-1000": "number", "letter": "letter", "coin": "choice"}


def generate(*, n: int, seed: int, languages: Sequence[str] = LANGUAGES) -> Bank:
    """A bank of n cells, tasks in turn. Raises UsageError for a language there is not, or more cells than wordings."""
    tasks: list[tuple[str, dict[str, Any]]] = [
        (name, {"family": "one-word", "parser": PARSERS.get(name, "word"), "system": SYSTEM, "sampling": SAMPLING}
         | ({"choices": COIN} if name == "coin" else {}))
        for name in PATTERNS
    ]  # fmt: skip
    patterns = _phrases.in_languages(PATTERNS, languages)

    return _phrases.bank("chat-words", _phrases.draw(tasks, patterns, n=n, seed=seed))
