"""
What answers mean: records, collecting, methods, calibration, verdicts, the reference database and the command line.

    generator ──► ProbeSuite ──► collect(client, suite) ──► Responses ──► method ──► score ──► Verdict

Nothing flows back, and every arrow's value can be saved, inspected and replayed. This package imports neither
`probe_match.probes` nor `probe_match.clients`; only `cli` brings the three together, by name.
"""
