"""Lund trees, and all that is read off them."""

from jetforge.physics.lund.tree import FLOOR, Z_FLOOR, LundArrays, lund_arrays, lund_tree

__all__ = ["FLOOR", "Z_FLOOR", "LundArrays", "lund_arrays", "lund_tree"]
