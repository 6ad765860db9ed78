"""Licence audits of endpoints: what a policy allows, what a model obliges to, what was found, and reports of it."""
