"""Predicted against measured ratio as an interactive figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tumor_ratio.reporting.figures import style


def interactive_scatter(
    compared: pd.DataFrame, colours: Mapping[str, str], *, output: str, stamps: Sequence[str] = ()
) -> Any:
    """One trace an approach, with the slide and the region under the pointer.

    Parameters
    ----------
    compared : `schemas.ComparedRegions` of one reference.
    colours : by approach, in the order of the legend; the first one starts visible.
    output : "raw" or "calibrated".
    stamps : sentences under the figure.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    for name, colour in colours.items():
        own = compared[compared["approach"] == name]
        if own.empty:
            continue
        figure.add_scatter(
            x=own["measured"].tolist(),
            y=own[output].tolist(),
            mode="markers",
            name=name,
            marker={"size": 6, "opacity": 0.55, "color": colour},
            customdata=own[["slide_id", "region_id"]].astype(str).to_numpy().tolist(),
            hovertemplate=(
                "%{customdata[0]}<br>%{customdata[1]}<br>"
                "measured %{x:.3f}, predicted %{y:.3f}<extra>" + name + "</extra>"
            ),
            visible=True if not figure.data else "legendonly",
        )
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": style.MUTED, "dash": "dash", "width": 1},
        hoverinfo="skip",
        showlegend=False,
    )
    figure.update_layout(
        template="plotly_white",
        title="Predicted against measured ratio, test regions",
        xaxis={"title": "measured ratio", "range": [-0.02, 1.02]},
        yaxis={"title": "predicted ratio", "range": [-0.02, 1.02], "scaleanchor": "x"},
        width=820,
        height=720,
        margin={"b": 150},
        annotations=[
            {
                "text": "<br>".join(_broken(sentence) for sentence in stamps),
                "showarrow": False,
                "xref": "paper",
                "yref": "paper",
                "x": 0,
                "y": -0.24,
                "align": "left",
                "font": {"size": 9, "color": style.MUTED},
            }
        ],
    )
    return figure


def _broken(sentence: str) -> str:
    """A sentence in lines of about 120 characters."""
    import textwrap

    return "<br>".join(textwrap.wrap(sentence, 120))
