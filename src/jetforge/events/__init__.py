"""Where jets come from: generator presets, Pythia, clustering, truth matching and whole samples."""
