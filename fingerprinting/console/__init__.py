"""The web console and its REST API: references, matches and audits with live progress, verdicts, histories, export."""
