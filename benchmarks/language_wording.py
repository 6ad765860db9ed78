"""What the page on language models says around its tables."""

from typing import Final

BEFORE: Final = """
# Language models: measured

`python benchmarks/language_models.py FOLDER [--part verdicts]` measures, and writes
[language-models.json](language-models.json) and this page. Seeds are in that file.

Means over repetitions ± 1.96 standard errors; the repetitions share their models, so that the intervals tell of the
draws and not of other models. Shares have 95 % intervals of independent trials, which repeated models are not.
"""
ONE_WORD: Final = """
Split halves of some 30 answers a cell, cells drawn anew each time; a suspect's true model is in no cohort. *Odd
half*: constants were chosen on the other; figures of all were seen on the way. *AUROC, ... out*: how well the best
score tells a model in the database from one whose own reference is missing, and those of its twins too, or of its
whole vendor. MMD, published for longer texts, is better than ours at 40 cells with twins out, and has more errors
below.
""".strip()
VERDICTS: Final = """
At alpha 1 %, over draws of cells and answers. A fifth of the models was left out, each in turn, by itself, and all
models with the others of their vendor. *Right*: it, or a twin of it, see above. *As itself*: the verdict says that even
versions of one model look less alike. *As family*: "it or a near relative of it", or modified; a sibling that is named
so is what the verdict says it may be. *Descent*: a model of another vendor that comes from the same base model by
public model cards ([token_models.py](token_models.py)). *Stranger*: any other model of another vendor. **Wrongly
itself** is the share of suspects named as a model that they are not, **wrong family** of those named as a relative of a
stranger's. Both are to be at most 1 %. One pair, writer/palmyra-x5 and qwen/qwen3-235b-a22b-2507, makes nearly all of
the wrong families: no card that we know of says that they are related. Two versions of one model, z-ai/glm-4.5v and
-4.6v, make most of what is wrongly named as itself. Seeds are others than those the rules were chosen with (500 to
503). References with answers to the 16 questions alone were measured on an earlier form of the rule only: of 656 models
left out .8 % [.3, 1.8] were wrongly itself then, and .5 % [.2, 1.3] of a wrong family.
""".strip()
LESS: Final = """
16 questions of up to 15 rounds: judged after 3, 6 and 12 rounds and at the end, or at the end alone. Alpha 1 %, for
all looks together. *A relative*: of the same vendor, or of the same base model, named as family.

Why by rank: bets against the mixture of all other known models, corrected for the search at 1 % ([bets.py](bets.py),
even half of the models, development), are no e-process for a model that nobody knows, and name it the more often the
more it is asked:

| answers to 16 questions | in the database, rightly | left out, wrongly | vendor left out, wrongly |
| --- | --- | --- | --- |
| 1 | 0.581 | 0.173 | 0.102 |
| 3 | 0.862 | 0.417 | 0.303 |
| 6 | 0.909 | 0.555 | 0.457 |
| 12 | 0.933 | 0.671 | 0.563 |

Looked at in the same way, by rank:
""".strip()
TREES: Final = """
`lineage` at its alpha of 5 %: links among the known models by all their answers, and endpoints that answered 16
questions thrice, hung on what `match` would name; those left out have no reference of their own. That links also need
the nearness of models to their own answers changed nothing on the even half of the models, which had 6 links, all of
one vendor; figures of all were seen in the same look.
""".strip()
STYLE: Final = """
AlpacaEval: 400 prompts; 50 of 150 models shaped no space. Features and weights were chosen on the first 200 prompts
alone. Suspects are asked about the other 200, 40 at a time, and models are enrolled by answers to other prompts,
those of the first half before the rest: nothing that is asked was chosen on or enrolled. The share of words beside
the space was .2 at first, which cost a tenth of the TPR on the held-out prompts (.747 at 32); what loses nothing on
the first 200 prompts is .1, so that these figures are of a second look.

Aimed at: top-1 of .24/.63/.86, figures of 402 enrolling answers of each model, which this data does not have. By 360
the figures at 1 and 8 answers are reached to within their intervals, .86 at 32 is not; from 100 to 200, 300 and 360
answers it grows by .050, .036 and .007.

What was tried on the prompts of enrolment alone (140 of them to enrol, 60 to ask; the space alone there .22/.60/.76
at 1/8/32 answers): words one by one alone .14/.48/.73, at a fifth of the space's spread beside it .23/.60/.80, at a
tenth, which is ours, .23/.61/.79 where the space alone has .23/.59/.77; ten and thirty thousand words beside it
.22/.62/.78 and .23/.62/.79, normalised by text or by reference worse; a kernel around each answer at most .16 at 32,
beside the space .22/.46/.52; log ratios normalised over the references text by text .22/.60/.76; 1,500 words in the
space .23/.57/.72. Earlier, where the space alone had .224/.568/.755: 200 directions of characters' or words' tf-idf
beside our features .22/.57/.77; variances of each model's own .23/.55/.72; how much answers scatter within a bag,
added, .55/.77; a multinomial regression on our features, retrained for every model, .23/.55/.70 where ours had
.23/.59/.76; prompts' words to predict what a prompt makes of everybody's features .23/.57/.76. To know that exactly,
as no stranger's prompts let us, would give .255/.611/.790. Last, with 160 of them to enrol and 40 to ask, where ours
had .23/.61/.85 (two splits): multinomial regression on our features, or on them and 300 directions of tf-idf, as the
published figure has it, .24/.58/.82 and .23/.59/.80; beside ours at half its weight .24/.60/.83; and a third or three
times the ridge (five folds) .23/.60/.81 and .22/.60/.82 where ours has .23/.61/.82. With weaker penalties (five
folds, six draws each, ours there .24/.61/.81): on all features .23/.60/.77, on the directions of the space
.24/.58/.77, on means of 8 or 32 answers, as suspects have them, at most .16/.56/.76 and .10/.54/.78; a quarter of the
first beside ours .24/.62/.81, a half .24/.61/.80. None gains where many answers came. What bounds the figures is the
number of answers that enrol.
""".strip()
LINEAGE: Final = """
Pairs labelled by hand, see [lineage_pairs.py](lineage_pairs.py). How words are weighed and prompts normalised was
chosen on the other half of the 400 prompts, with the same pairs.
""".strip()
TWINS: Final = """
Each pair was looked at again with other seeds and by another test ([twins.py](twins.py)), one of squared differences,
which weighs common answers where G weighs rare ones. *Noticed from*: the share of one's answers that the nearest model
of another vendor must give instead for G to notice it in nine cases of ten, which says how alike twins must be. What
makers say of two names is from public model cards. Others are several names of one vendor, or a retired name that
answers as a newer one does: it looks as if the gateway that collected the answers had sent both to one model. That
they have the same weights is not proven; that these answers tell them apart is what does not show.
""".strip()
