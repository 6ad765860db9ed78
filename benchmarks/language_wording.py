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
below. *Ours, closed set*: where the suspect is one of the references for certain, likelihood and MMD, each in its own
deviations over the references, MMD twice; weights of 1 to 5 name as many on the even half of the models and sixteen
splits of other seeds (.926 to .928). That these two and answers of another form do it was found on all 164 models. The
first 20 splits named .9296, and 60 were drawn since; as that is drawing until a bar is passed, others were counted that
nothing was chosen by: .934 ± .001 over 800 (seeds from 50,000) and .934 ± .002 over 200 (from 70,000), where
likelihood has .929, MMD .931, and this rule without answers of another form .919.

Answers that are not of the form asked count as one more answer of their cell, for all methods, as one reader read both
halves. Models differ in how many they give (kimi-k2 62 of 1,200, kimi-k2.5 149). Without them, as an endpoint is judged
beside references that somebody else has read, so these and all verdicts below: EER .11/.20/.69 % at 40/16/8 cells,
top-1 .909 (likelihood and MMD .918), models left out .906, .968 with twins out, and 27 models have a twin.
""".strip()
VERDICTS: Final = """
At alpha 1 %, over draws of cells and answers. A fifth of the models was left out, each in turn, by itself, and all
models with the others of their vendor. *Right*: it, or a twin of it, as told without answers of another form. *As
itself*: the verdict says that even versions of one model look less alike. *As family*: "it or a near relative of it",
or modified; a sibling that is named so is what the verdict says it may be. *Descent*: a model of another vendor that
comes from the same base model by public model cards ([token_models.py](token_models.py)). *Stranger*: any other model
of another vendor. **Wrongly itself** is the share of suspects named as a model that they are not, **wrong family** of
those named as a relative of a stranger's. Both are to be at most 1 %. One pair, writer/palmyra-x5 and
qwen/qwen3-235b-a22b-2507, makes nearly all of the wrong families: no card that we know of says that they are related.
Two versions of one model, z-ai/glm-4.5v and -4.6v, make most of what is wrongly named as itself. Seeds are others
than those the rules were chosen with (500 to 503). References with answers to the 16 questions alone were measured on
an earlier form of the rule only: of 656 models left out .8 % [.3, 1.8] were wrongly itself then, and .5 % [.2, 1.3]
of a wrong family.
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
those of the first half before the rest: nothing that is asked was chosen on or enrolled. Two earlier states were
measured on these prompts as well, with words at .2 of the space's spread, which cost a tenth of the TPR, and with
words and openings as the only pieces, .233/.641/.839 by 360 answers; nothing was chosen by that.

Aimed at: top-1 of .24/.63/.86, figures of 402 enrolling answers of each model; by 360 they are reached, that at 32
answers without a margin.

What pieces are worth, on the prompts of enrolment alone (160 of them to enrol, 40 to ask, five folds, two draws of
the known models; top-1 at 1/8/32 answers): words, openings and style numbers .22/.58/.79, and beside that space words
one by one .23/.59/.80; in the space starts of sentences besides .22/.59/.79, kinds of lines .25/.61/.80, endings
.23/.59/.79, all three .25/.62/.81, and the skeleton .26/.62/.81, and words one by one .26/.63/.82, and rhythm
.26/.63/.84. Of no use: endings of words .23/.59/.77, three characters in a row .22/.57/.77, the skeleton by rates
instead of presence .26/.63/.83, 800 and 1,500 pieces of it, all of these counted one by one .25/.63/.82. More pieces
need more shrinking (four folds, all 150 models as suspects; top-1 of the 100 at 32 answers, EER, TPR at 1 %): a ridge
of 3, 4, 6 and 8 gives .84/.84/.83/.82, 2.9/2.6/2.4/2.4 % and .83/.85/.86/.86, where the space of before has .81, 2.7
% and .85; 4 loses nothing there. Ridges of 1 and 2 cost .14 and .05 of the TPR (two folds). Whitening once more, or
by each axis's own scatter, names fewer and costs as much again.

Tried before with fewer pieces, to no gain: ten and thirty thousand words one by one, scores normalised by text or by
reference, a kernel around each answer, log ratios normalised text by text, 1,500 words in the space, directions of
tf-idf, variances of each model's own, how much answers scatter in a bag, the prompts' words to predict what a prompt
does to everybody (to know it exactly would give .03), and multinomial regressions on answers, bags of 8 and 32
answers and tf-idf, alone and beside ours: ahead at one answer at most.
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
