"""From what is stored of constituents to flat arrays of their four-momenta."""
