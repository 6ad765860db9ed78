"""
How to turn answers into a signature and compare two: one file per method (see `agreement.py`).

A method file offers

    READS                         frozenset of "label" and "scores": what it works on, any one suffices
    represent(responses, suite)   Responses and the ProbeSuite they answer -> Signature
    distance(a, b)                two Signatures of the method and suite -> float, finite, >= 0, symmetric,
                                  0 for identical answers

and may offer more (a p-value, a second distance). Probes that were not answered, or that weigh nothing in
the suite, are left out of the signature's `answered` mask and never count as disagreement. A method that
reads both keeps what labels say as bool values and what scores say as floats, so that the two are never
compared with each other. Larger distances mean less alike, and nothing more: only a comparison with honest
peers says what is too close.
"""
