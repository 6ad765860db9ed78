"""Family trees of models: who descends from whom, from answers to one public suite."""
