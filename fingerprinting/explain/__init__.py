"""How a model decides: linear, nonlinear and pairwise contributions of its features, within a budget of questions."""
