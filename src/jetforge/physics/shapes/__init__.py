"""How the momentum of a jet is spread, and what the jet contains."""
