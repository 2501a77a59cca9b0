"""New datasets from datasets: merged, split anew, skimmed, reweighted; one operation a file."""
