"""What a claim is handed over in: seals, trees of leaves, trusted time, bundles, and a report in plain words."""
