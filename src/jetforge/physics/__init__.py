"""Pure functions of four-momenta: flat arrays in, flat arrays out; no files, no networks."""
