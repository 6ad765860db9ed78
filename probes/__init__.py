"""
What to ask: one file per probe generator.

A generator file offers `generate(source, pool, *, n, seed, **params) -> ProbeSuite` and the constants `KINDS`
(the input kinds it works on) and `NEEDS`: "pool" (the source is not asked while searching), "labels" (the
true labels of the pool), "label" (the source is asked) or "gradient" (the source is a torch model). Every
generator asks the source through `collect.ask`, in batches, and returns at most n probes in the bounds of the
pool, each carrying the source's answer as `expected`. The same seed gives the same digest.
"""
