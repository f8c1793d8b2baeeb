"""The pipeline evaluation."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from tumor_ratio.pipelines.evaluation import agreement_figures, figures, nodes, pairs, report


def create_pipeline(approaches: Sequence[str]) -> Pipeline:
    """From the predictions of all approaches to scores, figures and the report.

    Parameters
    ----------
    approaches : names whose `<approach>.predictions` are compared, in the order in which they are
        shown.
    """
    params = "params:evaluation"
    min_nuclei = "params:ratio_labels.min_nuclei"  # of true ratios as of measured ones
    drawn = ["cohort", "compared_regions", "approaches", params]
    return Pipeline(
        [
            Node(
                nodes.measure_truths,
                ["cohort", "patches", params],
                "slide_truths",
                name="measure_truths",
            ),
            Node(nodes.gather_truths, "slide_truths", "region_truths", name="gather_truths"),
            Node(
                nodes.gather_references,
                ["patches", "ratio_labels", "region_truths", min_nuclei, params],
                "references",
                name="gather_references",
            ),
            Node(
                nodes.predict_baselines,
                ["patches", "pair_quality", "references", "patch_features", "folds", params],
                "baseline_predictions",
                name="predict_baselines",
            ),
            Node(
                nodes.predict_oracle,
                ["region_truths", "references", "folds", params],
                "oracle_predictions",
                name="predict_oracle",
            ),
            _collect_predictions(approaches),
            Node(
                nodes.compare_approaches,
                [
                    "predictions",
                    "listed_approaches",
                    "references",
                    "patches",
                    "pair_quality",
                    "patch_features",
                    "folds",
                    params,
                ],
                ["compared_regions", "approaches"],
                name="compare_approaches",
            ),
            Node(
                nodes.score_approaches,
                ["compared_regions", "approaches", params],
                "scores",
                name="score_approaches",
            ),
            Node(
                pairs.compare_in_pairs,
                drawn,
                "paired_comparisons",
                name="compare_in_pairs",
            ),
            Node(
                nodes.collect_run_metrics,
                ["scores", "approaches", params],
                "run_metrics",
                name="collect_run_metrics",
            ),
            Node(
                report.write_results_table,
                [
                    "cohort",
                    "patches",
                    "scores",
                    "approaches",
                    "compared_regions",
                    "paired_comparisons",
                    params,
                ],
                "results_table",
                name="write_results_table",
            ),
            Node(
                figures.draw_mae,
                ["cohort", "scores", "approaches", params],
                "mae_bars",
                name="draw_mae",
            ),
            Node(
                figures.draw_predicted_versus_measured,
                drawn,
                "predicted_versus_measured",
                name="draw_predicted_versus_measured",
            ),
            Node(
                figures.draw_confusion_matrices,
                drawn,
                "confusion_matrices",
                name="draw_confusion_matrices",
            ),
            Node(
                agreement_figures.draw_limits,
                ["cohort", "compared_regions", "scores", "approaches", params],
                "bland_altman",
                name="draw_limits",
            ),
            Node(
                agreement_figures.draw_calibration_lines,
                ["cohort", "compared_regions", "scores", "approaches", params],
                "calibration",
                name="draw_calibration_lines",
            ),
            Node(
                agreement_figures.draw_mae_differences,
                ["cohort", "paired_comparisons", "scores", "approaches", params],
                "mae_differences",
                name="draw_mae_differences",
            ),
            Node(
                agreement_figures.draw_bin_errors,
                ["cohort", "scores", "approaches", params],
                "mae_by_bin",
                name="draw_bin_errors",
            ),
            Node(
                figures.draw_labels,
                ["cohort", "patches", "references", "folds"],
                "label_distribution",
                name="draw_labels",
            ),
            Node(
                figures.draw_interactive,
                drawn,
                "predicted_versus_measured_interactive",
                name="draw_interactive",
            ),
            Node(
                report.write_report,
                [
                    "cohort",
                    "cohort_plan",
                    "tiles",
                    "patches",
                    "tile_quality",
                    "pair_quality",
                    "ratio_labels",
                    "staining_quality",
                    "ihc_nuclei",
                    "region_truths",
                    "references",
                    "folds",
                    "compared_regions",
                    "approaches",
                    "scores",
                    "paired_comparisons",
                    "failures",
                    min_nuclei,
                    params,
                ],
                "report",
                name="write_report",
            ),
        ],
        tags="evaluation",
    )


def _collect_predictions(approaches: Sequence[str]) -> Node:
    """The node that reads every approach's own table, which lies in the approach's namespace."""
    inputs = {
        "baseline_predictions": "baseline_predictions",
        "oracle_predictions": "oracle_predictions",
        "region_truths": "region_truths",
        **{name: f"{name}.predictions" for name in approaches},
        **{nodes.ACCOUNT_OF + each: f"{each}.account" for each in approaches},
    }
    with warnings.catch_warnings():
        # Kedro warns of dots in names that a node outside their namespace reads, as this one must.
        warnings.filterwarnings("ignore", message="One or more dataset names contain '.'")
        return Node(
            nodes.collect_predictions,
            inputs,
            ["predictions", "listed_approaches"],
            name="collect_predictions",
        )
