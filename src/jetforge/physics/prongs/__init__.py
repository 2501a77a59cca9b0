"""N-subjettiness: how well constituents lie along N axes."""
