"""Energy correlators: energy correlation functions and energy flow polynomials."""
