"""How a tagger learns: recipes, batches, optimisation, and runs that can be resumed."""
