"""ROC curves, rejections with their uncertainties, figures, and the report of a tagger."""

from jetforge.evaluation.bins import BinnedRejection, rejection_by_bin
from jetforge.evaluation.comparison_plots import plot_against, plot_roc_ratio
from jetforge.evaluation.gain import rejection_gain
from jetforge.evaluation.image_plots import plot_average_images
from jetforge.evaluation.intervals import Interval, clopper_pearson
from jetforge.evaluation.lund_plots import plot_lund_jet, plot_lund_planes, plot_lund_ratio, plot_lund_slices
from jetforge.evaluation.metrics import discriminant, evaluate_classes, evaluate_scores
from jetforge.evaluation.plots import (
    plot_learning_curve,
    plot_rejection_by_bin,
    plot_roc,
    plot_scores,
)
from jetforge.evaluation.report import save_figures, write_report
from jetforge.evaluation.roc import Auc, RocCurve, background_rejection, roc_curve
from jetforge.evaluation.tables import bin_table, format_error, format_rejection, rejection_table
from jetforge.physics.lund.plane import LundDensity, lund_density

__all__ = [
    "Auc",
    "BinnedRejection",
    "Interval",
    "LundDensity",
    "RocCurve",
    "background_rejection",
    "bin_table",
    "clopper_pearson",
    "discriminant",
    "evaluate_classes",
    "evaluate_scores",
    "format_error",
    "format_rejection",
    "lund_density",
    "plot_against",
    "plot_average_images",
    "plot_learning_curve",
    "plot_lund_jet",
    "plot_lund_planes",
    "plot_lund_ratio",
    "plot_lund_slices",
    "plot_rejection_by_bin",
    "plot_roc",
    "plot_roc_ratio",
    "plot_scores",
    "rejection_by_bin",
    "rejection_gain",
    "rejection_table",
    "roc_curve",
    "save_figures",
    "write_report",
]
