"""Results as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from benchmarks.harness.bends import explain, marks
from benchmarks.harness.machine import Machine
from benchmarks.harness.plots import bars, count_text, lines, seconds_text
from benchmarks.harness.report import Measured, Run, curves, facts_text, item, ratios

__all__ = ["html_page"]

_ON_CURVES = """
Whiskers reach from the least to the most of the rounds. Dashed: where what the engine touches in a run outgrows a
cache, or its table what the TLB reaches. A bend is a change of a quarter or more between neighbouring points; its
explanation is what sizes say: the tables' layout, and the caches of this machine.
"""
_ON_STARTS = """
So many processes begin at once on one cache of machine code: import everything, train a step and use a table. As many
kernels compiled by four processes together as by one means that none was compiled twice: the others waited and loaded.
"""
_ON_KERNELS = """
Registers of a thread by architecture, shared bytes of a block, bytes a kernel moves for a row of 16 floats, occupancy
(share of a multiprocessor's warps that can run at once, in blocks of 256 threads), loads and stores of four floats at a
time.
"""
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:80rem;margin:2rem auto;padding:0 1rem;overflow-wrap:anywhere}
body{color:#1c1c1e;background:#fff}
.scroll{overflow-x:auto}table{border-collapse:collapse}th{font-weight:600}
td,th{padding:.25rem .6rem;border-bottom:1px solid #ddd;text-align:left;vertical-align:top;overflow-wrap:normal}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}td.note{min-width:16rem}
.missed{color:#b00020;font-weight:600}.unjudged{color:#777}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(24rem,100%),1fr));gap:1rem 2rem}
.grid>div{min-width:0}.plot{width:100%;max-width:32rem;height:auto;font-size:12px}.plot text{fill:currentColor}
.plot .w{stroke:#111;stroke-width:1.5}.plot .g{stroke:#e3e3e3}.plot .m{stroke:#999;stroke-dasharray:3 3}
.legend span{display:inline-block;margin-right:1rem;font-size:13px}
.legend i{display:inline-block;width:.8em;height:.8em;margin-right:.3em}
h3{margin:1rem 0 .2rem}ul{margin:.3rem 0;padding-left:1.2rem}small,li,summary{font-size:13px}small{color:#666}
pre{font-size:12px}dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:0 1rem;margin:0}
dd{margin:0}summary{cursor:pointer}
@media(prefers-color-scheme:dark){
body{background:#1c1c1e;color:#eee}td,th{border-color:#444}.plot .g{stroke:#333}.plot .w{stroke:#eee}
.missed{color:#ff7b8a}.unjudged,small{color:#aaa}}
"""


def html_page(run: Run, machine: Machine) -> str:
    """Floors; ratios of every size; curves with what bends them; CUDA kernels; every job."""
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Benchmark</title>",
        "<meta name='viewport' content='width=device-width'>",
        f"<style>{_STYLE}</style><h1>Benchmark</h1><dl>",
        *(f"<dt>{escape(str(key))}<dd>{escape(str(value))}" for key, value in run.about.items()),
        "</dl>",
        *_floors(run),
        *_listed("Not here", run.absent),
        *_listed("Left out for want of time", run.dropped),
        *_ratio_tables(run),
        *_starts([measured for measured in run.measured if measured.job.spec.get("job") == "start"]),
        *_curves(run, machine),
        *_cuda(run),
        "<h2>Jobs</h2>",
        *_jobs([measured for measured in run.measured if measured.job.floor]),
        "<details><summary>All others</summary>",
        *_jobs([measured for measured in run.measured if not measured.job.floor]),
        "</details></html>",
    ]
    return "".join(parts)


def _floors(run: Run) -> Iterator[str]:
    yield "<h2>Floors</h2><div class='scroll'><table>"
    yield "<tr><th>floor<th class='n'>asked<th class='n'>found<th>state<th>forms"
    for verdict in run.verdicts:
        found = "–" if verdict.ratio is None else f"{verdict.ratio:.2f}"
        yield (
            f"<tr class='{verdict.state}'><td>{escape(verdict.floor.text)}<td class='n'>{verdict.floor.least:.2f}"
            f"<td class='n'>{found}<td>{verdict.state}<td class='note'>{escape(verdict.note)}"
        )
    yield "</table></div>"


def _listed(title: str, reasons: dict[str, str]) -> Iterator[str]:
    if reasons:
        yield f"<h2>{escape(title)}</h2><ul>"
        yield from (f"<li>{escape(name)}: – {escape(why)}" for name, why in reasons.items())
        yield "</ul>"


def _ratio_tables(run: Run) -> Iterator[str]:
    groups: dict[str, list[Measured]] = {}
    for measured in run.measured:
        if measured.job.group:
            groups.setdefault(measured.job.group, []).append(measured)
    if groups:
        yield "<h2>Ratios</h2><p>Time of a contender over the engine's, both in their best forms: median of "
        yield "the rounds, and in brackets the least and the most. Above 1 the engine is faster.</p>"
    for group, jobs in groups.items():
        yield f"<h3>{escape(group)}</h3>"
        yield from _ratio_table(
            sorted(jobs, key=lambda measured: (measured.job.spec["dim"], measured.job.spec["rows"]))
        )


def _ratio_table(jobs: list[Measured]) -> Iterator[str]:
    peers = list(dict.fromkeys(name for measured in jobs for name in measured.outcomes if name != "engine"))
    head = "".join(f"<th class='n'>{escape(name)}" for name in ("rows", "dim", "engine", *peers))
    yield f"<div class='scroll'><table><tr>{head}"
    forms: dict[str, dict[str, None]] = {}
    reasons: dict[str, dict[str, None]] = {}
    for measured in jobs:
        ours = item(measured, "engine")
        cells = [count_text(measured.job.spec["rows"]), str(measured.job.spec["dim"])]
        cells.append(seconds_text(ours.middle) if ours is not None else "–")
        for name, outcome in measured.outcomes.items():
            best = item(measured, name)
            if best is not None:
                forms.setdefault(name, {})[best.form] = None
            else:
                reasons.setdefault(name, {})[outcome.reason or "no seconds"] = None
        for name in peers:
            found = ratios(measured, name) if name in measured.outcomes else None
            cells.append("–" if found is None else f"{found[0]:.2f} <small>({found[1]:.2f}–{found[2]:.2f})</small>")
        yield f"<tr>{''.join(f'<td class=n>{cell}' for cell in cells)}"
    yield "</table></div><ul>"
    yield from (f"<li>{escape(name)}: {escape(' or '.join(names))}" for name, names in forms.items())
    yield from (f"<li>{escape(name)}: – {escape('; '.join(why))}" for name, why in reasons.items())
    yield "</ul>"


def _starts(measured: list[Measured]) -> Iterator[str]:
    if not measured:
        return
    yield f"<h2>Cold start</h2><p>{_ON_STARTS}</p><div class='scroll'><table>"
    yield "<tr><th class='n'>processes<th>machine code"
    facts = list(dict.fromkeys(key for one in measured for key in one.outcomes["engine"].facts))
    yield f"<th class='n'>until done{''.join(f'<th>{escape(key)}' for key in facts)}"
    for one in measured:
        outcome, found = one.outcomes["engine"], item(one, "engine")
        cells = [seconds_text(found.middle) if found is not None else f"– {escape(outcome.reason)}"]
        cells += [f"{outcome.facts[key]:,.0f}" if key in outcome.facts else "–" for key in facts]
        yield f"<tr><td class='n'>{one.job.spec['processes']}<td>{'there' if one.job.spec['warm'] else 'none yet'}"
        yield "".join(f"<td class='n'>{cell}" for cell in cells)
    yield "</table></div>"


def _curves(run: Run, machine: Machine) -> Iterator[str]:
    """One plot a curve with an explanation of every bend."""
    found = curves(run)
    if not found:
        return
    yield f"<h2>Curves</h2><p>{_ON_CURVES}</p><div class='grid'>"
    for (axis, curve), by_name in found.items():
        of_memory = "memory" in curve
        what, unit = ("bytes a row", "bytes") if of_memory else ("time", "seconds")
        pointed = [] if of_memory else marks(axis, by_name.get("engine", []), "engine", machine)
        yield f"<div><h3>{escape(curve)}</h3>{lines(by_name, axis, unit, pointed)}"
        found_bends = {name: list(explain(axis, points, name, machine, what)) for name, points in by_name.items()}
        yield from _bends("engine", found_bends.pop("engine", []))
        others = [part for name, sentences in found_bends.items() for part in _bends(name, sentences)]
        yield (
            f"<details><summary>bends of the others</summary>{''.join(others)}</details></div>" if others else "</div>"
        )
    yield "</div>"


def _bends(name: str, sentences: list[str]) -> Iterator[str]:
    if sentences:
        yield f"<ul>{''.join(f'<li>{escape(name)}: {escape(sentence)}' for sentence in sentences)}</ul>"


def _cuda(run: Run) -> Iterator[str]:
    if not run.cuda:
        return
    yield "<h2>CUDA kernels by their assembled code</h2><p>"
    if run.cuda["device"]:
        yield f"Device: {escape(run.cuda['device'])}. "
    else:
        yield "This machine has no CUDA device: nothing was run on one, no time and no bandwidth was measured. "
    yield f"{_ON_KERNELS}</p>"
    if "lines" in run.cuda:
        text = escape("\n".join(run.cuda["lines"]))
        yield f"<details><summary>{escape(run.cuda['lines'][-1])}</summary>"
        yield f"<div class='scroll'><pre>{text}</pre></div></details>"
    else:
        yield f"<p>– {escape(run.cuda['reason'])}</p>"


def _jobs(chosen: list[Measured]) -> Iterator[str]:
    yield "<div class='grid'>"
    yield from (f"<div>{''.join(_job_section(measured))}</div>" for measured in chosen)
    yield "</div>"


def _job_section(measured: Measured) -> Iterator[str]:
    items = {name: item(measured, name) for name in measured.outcomes}
    rounds = max((len(s) for outcome in measured.outcomes.values() for s in outcome.seconds.values()), default=0)
    threads = f"{measured.job.threads} thread{'s' * (measured.job.threads > 1)}"
    yield f"<h3>{escape(measured.job.title)}</h3><small>{threads}, {rounds} rounds, time by item</small>"
    drawn = [(name, one.middle, one.low, one.high) for name, one in items.items() if one is not None]
    if drawn:
        yield bars(drawn)
    yield "<ul>"
    for name, outcome in measured.outcomes.items():
        best, facts = items[name], facts_text(outcome)
        text = best.form if best is not None else f"– {outcome.reason}" if outcome.reason else ""
        yield f"<li>{escape(name)}: {escape('; '.join(part for part in (text, facts) if part) or '–')}"
    yield "</ul>"
