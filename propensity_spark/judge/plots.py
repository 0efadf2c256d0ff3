"""Plots as inline SVG text: no scripts, no files, legible in light and dark, on paper and on a phone."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from propensity_spark.judge.metrics import Bin

Point = tuple[float, float]
COLOURS = ("#2f6fde", "#e07b00", "#6b7280", "#9c6ade", "#1a9c74", "#c2334d", "#8a6d3b", "#0e8aa8", "#b5438f", "#5d7a1f")
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 460, 340, 58, 46, 14, 14


@dataclass(frozen=True, slots=True)
class Scale:
    """One axis: from values to [0, 1], and where its ticks stand."""

    low: float
    high: float
    log: bool = False

    def at(self, value: float) -> float:
        """The place of a value, 0 at the low end and 1 at the high one."""
        low, high, value = (math.log(v) for v in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        return (value - low) / (high - low) if high > low else 0.5

    def ticks(self) -> list[float]:
        """Four to six round values."""
        if self.log:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            return [10.0**power for power in range(first, last + 1)]
        step = (self.high - self.low) / 5
        return [self.low + step * number for number in range(6)]


def curve(series: Mapping[str, Sequence[Point]], title: str, x_label: str, y_label: str, diagonal: bool = False) -> str:
    """Lines over the unit square (ROC) or under their highest point (precision and recall)."""
    top = 1.0 if diagonal else _round_up(max((y for points in series.values() for _, y in points), default=1.0))
    x, y = Scale(0, 1), Scale(0, top)
    lines = [
        _path([(x.at(a), y.at(b)) for a, b in points], colour) for points, colour in zip(series.values(), COLOURS, strict=False)
    ]
    guide = [_path([(0, 0), (1, 1)], "currentColor", "4 4")] if diagonal else []
    return _frame(title, x_label, y_label, x, y, [*guide, *lines], list(series))


def reliability(series: Mapping[str, Sequence[Bin]], title: str = "Predicted against observed") -> str:
    """A dot per bin of equal mass; on the diagonal what was predicted came true. Logarithmic where rates are small."""
    bins = [b for each in series.values() for b in each]
    values = [v for b in bins for v in (b.predicted, b.observed) if v > 0]
    low, high = (min(values) * 0.8, max(values) * 1.25) if values else (0.001, 1.0)
    log = low > 0 and high / low > 20
    axis = Scale(low, high, log) if log else Scale(0.0, _round_up(high))
    marks = [_path([(0, 0), (1, 1)], "currentColor", "4 4")]
    for each, colour in zip(series.values(), COLOURS, strict=False):
        shown = [b for b in each if not log or min(b.predicted, b.observed) > 0]
        marks.append(_path([(axis.at(b.predicted), axis.at(b.observed)) for b in shown], colour))
        marks += [_dot(axis.at(b.predicted), axis.at(b.observed), colour) for b in shown]
    return _frame(title, "mean predicted probability", "observed rate", axis, axis, marks, list(series))


def columns(values: Sequence[float], title: str, x_label: str, y_label: str) -> str:
    """Upright bars, numbered from 1; a line at 1 where lift is meant."""
    top = _round_up(max([*values, 1.0]))
    y, wide = Scale(0, top), 1 / max(len(values), 1)
    bars = [_rect(i * wide + wide * 0.12, wide * 0.76, y.at(v), f"{i + 1}: {v:.2f}") for i, v in enumerate(values)]
    names = [_text(_px(i * wide + wide / 2), _HEIGHT - _BOTTOM + 16, str(i + 1)) for i in range(len(values))]
    level = [_path([(0, y.at(1.0)), (1, y.at(1.0))], "currentColor", "4 4")]
    return _frame(title, x_label, y_label, None, y, [*bars, *level, *names], [])


def intervals(rows: Sequence[tuple[str, float, float, float]], title: str) -> str:
    """A dot per row (name, value, low, high) on a line from low to high, over a common axis; the dashed line is at nothing."""
    ends = [end for _, _, low, high in rows for end in (low, high)]
    reach = _round_up(max((abs(end) for end in ends), default=1.0))
    axis, wide = Scale(-reach, reach), 440
    parts = []
    for number, (name, value, low, high) in enumerate(rows):
        y, colour = number * 30 + 6, COLOURS[4] if low > 0 else COLOURS[5] if high < 0 else COLOURS[2]
        a, at, b = (10 + wide * axis.at(v) for v in (low, value, high))
        parts.append(f'<text x="0" y="{y + 8}" font-size="12">{escape(name)}</text>')
        parts.append(f'<path d="M{a:.1f} {y + 17}H{b:.1f}" stroke="{colour}" stroke-width="2.5"/>')
        parts.append(f'<circle cx="{at:.1f}" cy="{y + 17}" r="4" fill="{colour}"><title>{value:+.4f}</title></circle>')
    bottom, nothing = len(rows) * 30 + 8, 10 + wide * axis.at(0.0)
    parts.append(f'<path d="M{nothing:.1f} 0V{bottom}" stroke="currentColor" stroke-dasharray="4 4" opacity="0.5"/>')
    marks = [(-reach, "start"), (0.0, "middle"), (reach, "end")]
    parts += [_text(10 + wide * axis.at(v), bottom + 14, f"{v:+.3g}" if v else "0", anchor) for v, anchor in marks]
    return _svg(title, 460, bottom + 20, parts)


def _round_up(value: float) -> float:
    """The next number of the kind 1, 2, 2.5, 5 x 10^n."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value * (1 - 1e-9))


def _px(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _py(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP)


def _path(points: Sequence[Point], colour: str, dash: str = "") -> str:
    if not points:
        return ""
    placed = " ".join(f"{_px(x):.1f},{_py(y):.1f}" for x, y in points)
    style = f' stroke-dasharray="{dash}" opacity="0.5"' if dash else ""
    return f'<polyline points="{placed}" fill="none" stroke="{colour}" stroke-width="{1 if dash else 1.8}"{style}/>'


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{_px(x):.1f}" cy="{_py(y):.1f}" r="3.2" fill="{colour}"/>'


def _rect(x: float, width: float, height: float, hint: str) -> str:
    left, top = _px(x), _py(height)
    size = f'width="{_px(x + width) - left:.1f}" height="{_py(0) - top:.1f}"'
    return f'<rect x="{left:.1f}" y="{top:.1f}" {size} fill="{COLOURS[0]}"><title>{escape(hint)}</title></rect>'


def _text(x: float, y: float, text: str, anchor: str = "middle", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="11"{more}>{escape(text)}</text>'


def _tick_text(value: float, log: bool) -> str:
    return f"{value:.4g}" if log or value >= 0.01 or value == 0 else f"{value:.2g}"


def _frame(title: str, x_label: str, y_label: str, x: Scale | None, y: Scale, marks: list[str], names: list[str]) -> str:
    """Axes with ticks and labels around the marks, and a legend."""
    parts = [f'<path d="M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}" fill="none" stroke="currentColor" opacity="0.6"/>']
    parts += _ticks(y, lambda v: _text(_LEFT - 6, _py(y.at(v)) + 4, _tick_text(v, y.log), "end"))
    if x is not None:
        parts += _ticks(x, lambda v: _text(_px(x.at(v)), _HEIGHT - _BOTTOM + 16, _tick_text(v, x.log)))
    parts += marks
    parts.append(_text((_LEFT + _WIDTH) / 2, _HEIGHT - 8, x_label))
    parts.append(_text(0, 0, y_label, more=f' transform="translate(12 {(_HEIGHT - _BOTTOM) / 2}) rotate(-90)"'))
    return _svg(title, _WIDTH, _HEIGHT, parts) + _legend(names)


def _ticks(scale: Scale, draw: Callable[[float], str]) -> list[str]:
    return [draw(value) for value in scale.ticks()]


def _legend(names: Sequence[str]) -> str:
    """The names in their colours, as text that wraps."""
    if not names:
        return ""
    parts = [f'<span><i style="background:{c}"></i>{escape(n)}</span>' for n, c in zip(names, COLOURS, strict=False)]
    return f'<p class="legend">{"".join(parts)}</p>'


def _svg(title: str, width: int, height: int, parts: Sequence[str]) -> str:
    head = f'<svg viewBox="0 0 {width} {height}" role="img" fill="currentColor" xmlns="http://www.w3.org/2000/svg">'
    return f"<h4>{escape(title)}</h4>{head}<title>{escape(title)}</title>{''.join(parts)}</svg>"
