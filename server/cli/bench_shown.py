"""The figures of a bench as pictures: a distribution in text for the terminal, and as SVG for a file."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_EDGES = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0)
_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
_BAR = 40
_EIGHTHS = " ▏▎▍▌▋▊▉"
_WIDTH, _HEIGHT, _FOOT, _TOP = 720, 320, 250, 70


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """Return p50, p95, p99 and the largest, in milliseconds; zeros of nothing."""
    ordered = sorted(seconds) or [0.0]
    return {name: round(1000 * ordered[round(share * (len(ordered) - 1))], 3) for name, share in _SHARES.items()}


def buckets(seconds: Sequence[float]) -> list[dict[str, Any]]:
    """Count by steps of 1, 2, 5, 10, … milliseconds; `to_ms` of the last is null. Empty ones at both ends are left out."""
    counts = [0] * len(_EDGES)
    for each in seconds:
        counts[sum(1000 * each >= edge for edge in _EDGES[1:])] += 1
    ends: list[float | None] = [*_EDGES[1:], None]
    made = [
        {"from_ms": low, "to_ms": high, "count": count} for low, high, count in zip(_EDGES, ends, counts, strict=True)
    ]
    filled = [number for number, each in enumerate(made) if each["count"]]
    return made[filled[0] : filled[-1] + 1] if filled else []


def histogram(found: Sequence[Mapping[str, Any]]) -> str:
    """Draw the buckets with letters, one on a line."""
    most, total = max((each["count"] for each in found), default=1), sum(each["count"] for each in found)
    lines = []
    for each in found:
        eighths = round(8 * _BAR * each["count"] / most)
        bar = "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
        lines.append(f"{_label(each):>16} {bar:<{_BAR}} {100 * each['count'] / total:5.1f} %")
    return "\n".join(lines) or "nothing came"


def drawn(found: Mapping[str, Any]) -> str:
    """Draw the distribution as an SVG document that stands alone."""
    bars = found["histogram"]
    most, total = max((each["count"] for each in bars), default=1), max(1, sum(each["count"] for each in bars))
    step = (_WIDTH - 40) / max(1, len(bars))
    parts = []
    for number, each in enumerate(bars):
        height = (_FOOT - _TOP) * each["count"] / most
        left = 20 + number * step
        middle = left + step / 2
        parts.append(
            f'<rect x="{left + 3:.1f}" y="{_FOOT - height:.1f}" width="{step - 6:.1f}" height="{height:.1f}"/>'
        )
        parts.append(_text(middle, _FOOT - height - 6, f"{100 * each['count'] / total:.1f} %"))
        parts.append(_text(middle, _FOOT + 18, _label(each)))
    latency = found["latency_ms"]
    title = (
        f"{found['rate']:g} events/s for {found['seconds']:g} s to {found['webhooks']} webhooks, {found['size']} bytes"
    )
    line = " · ".join(f"{name} {latency[name]:.1f} ms" for name in ("p50", "p95", "p99")) + (
        f" · {found['per_second']:.1f} deliveries/s · {found['lost']} lost"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(line)}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#2563eb">\n'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>\n'
        + _text(_WIDTH / 2, 24, title, size=15)
        + _text(_WIDTH / 2, 44, line)
        + "\n"
        + "\n".join(parts)
        + f'\n<line x1="20" x2="{_WIDTH - 20}" y1="{_FOOT}" y2="{_FOOT}" stroke="#64748b"/>\n'
        + _text(_WIDTH / 2, _HEIGHT - 22, "milliseconds from accepted to received")
        + "\n</svg>\n"
    )


def _label(each: Mapping[str, Any]) -> str:
    low, high = each["from_ms"], each["to_ms"]
    return f"from {low:g} ms" if high is None else f"{low:g} to {high:g} ms"


def _text(x: float, y: float, text: str, size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" font-size="{size}" fill="#0f172a">{escape(text)}</text>'
