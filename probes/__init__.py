"""
What to ask: one file per probe generator.

A generator file offers `generate(source, pool, *, n, seed, **params) -> ProbeSuite` and the constants `KINDS`
(the input kinds it works on) and `NEEDS`: "pool" (the source is not asked while searching), "labels" (the
true labels of the pool), "label" (the source is asked) or "gradient" (the source is a torch model). Every
generator asks the source through `collect.ask`, in batches, and returns at most n probes in the bounds of the
pool, each carrying the source's answer as `expected`. The same seed gives the same digest.

A family of questions to language models has KINDS = ("chat",), and `generate(*, n, seed, languages, **params)
-> Bank` of n cells: it asks nobody. Each cell is a question in one language and one wording, named
`task/language/wording`, and each question names the parser that reads its answers. Another seed words the same
tasks anew.
"""
