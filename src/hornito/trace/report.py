# SPDX-License-Identifier: MIT
"""How do people look at a recording as a whole? One page that needs nothing else: times, graph, memory, bytes moved,
compression, tensors, and behind each job its listing."""

import json
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import PurePath

from hornito.stream.listing import Names
from hornito.trace.calls import name_of
from hornito.trace.records import Recording
from hornito.trace.report_charts import bytes_text, call_lanes, graph, job_lanes, memory_map, time_text
from hornito.trace.report_data import Facts, JobFacts, SubmitFacts, collect
from hornito.trace.report_details import Details, key
from hornito.web import asset, document

_MOST_PROBLEMS = 20
_MOST_DRAWN = 20  # submits of a kind of their own that are drawn


def report(recording: Recording, chip: str = "") -> bytes:
    """The page's HTML, self-contained, for light and dark, for narrow screens, for keyboard and touch. ``chip`` says
    whose recording it is where the file does not."""
    facts = collect(recording, chip)
    dropped = len(facts.submits) - _MOST_DRAWN
    del facts.submits[_MOST_DRAWN:]
    if dropped > 0:
        facts.problems.append(f"{dropped} further submits of kinds of their own are left out")
    title = f"Recording {PurePath(recording.path).name}"
    style, script = (asset(__package__, name) for name in ("report.css", "report.js"))
    return "\n".join(document(title, style, _body(facts), script)).encode()


def _body(facts: Facts) -> Iterator[str]:
    details = Details(facts)
    yield from _head(facts)
    yield from _problems(facts, details)
    yield "<h2>Time</h2><section>"
    yield "<h3>Calls <small>wall clock of the recording</small></h3>"
    yield from call_lanes(facts)
    for submit in facts.submits:
        yield f"<h3>Jobs of submit {submit.number} <small>{escape(_clock(facts, submit))}</small></h3>"
        yield from job_lanes(submit)
    yield "</section>"
    yield from _calls(facts)
    for submit in facts.submits:
        yield from _submit(submit)
    yield from _tensors(details)
    yield '<dialog aria-labelledby="job-title"><form method="dialog"><button class="step" type="button" data-step="-1"'
    yield ' aria-label="earlier job">←</button><button class="step" type="button" data-step="1" aria-label="later job">'
    yield '→</button><button class="step" aria-label="close">×</button></form><h2 id="job-title"></h2><dl></dl>'
    yield '<div class="pictures"></div><details><summary>Listing</summary><pre tabindex="0"></pre></details></dialog>'
    data = json.dumps({"jobs": details.jobs, "pictures": details.pictures}, separators=(",", ":"))
    # "</script>" in a tensor's name would end it.
    yield '<script type="application/json" id="data">' + data.replace("<", "\\u003c") + "</script>"


def _clock(facts: Facts, submit: SubmitFacts) -> str:
    """Whose times they are, and how long the submit took by the wall clock."""
    whole = "" if submit.measured is None else f"; {time_text(submit.measured)} from being handed in until its fence"
    return f"{_source(facts, submit)}{whole}"


def _source(facts: Facts, submit: SubmitFacts) -> str:
    recorded = sum(job.recorded for job in submit.jobs)
    if recorded == len(submit.jobs):
        return "the device's own times, as recorded (a virtual device's are modelled)"
    modelled = f"modelled for {facts.chip} by hornito.cost" if facts.chip else "not known"
    if recorded:
        return f"{recorded} recorded, the others {modelled}"
    return f"{modelled}: the recording has no times of jobs"


def _head(facts: Facts) -> Iterator[str]:
    header = facts.recording.header
    parts = [f"from {header.source}", f"chip {facts.chip}" if facts.chip else "chip unknown"]
    parts += ["program " + " ".join(header.program)] if header.program else []
    yield f'<p class="dim clip">{escape("; ".join(parts))}</p>'
    jobs = facts.jobs
    made = [job.coefficients for job in jobs if job.coefficients is not None]
    totals = [
        (str(len(facts.calls)), "calls"),
        (str(sum(1 + len(submit.repeats) for submit in facts.submits)), "submits with jobs"),
        (str(len(jobs)), "jobs" if not any(submit.repeats for submit in facts.submits) else "different jobs"),
        (time_text(sum(submit.seconds for submit in facts.submits)), _times_word(jobs)),
        (bytes_text(sum(job.work.traffic for job in jobs)), "moved, modelled"),
    ]
    if made:
        raw = sum(one.raw_bytes for one in made)
        totals.append((f"{100 * sum(one.size for one in made) / max(1, raw):.0f} %", "of the weights' raw size"))
    yield '<ul class="totals">' + "".join(f"<li><b>{b}</b>{words}</li>" for b, words in totals) + "</ul>"


def _times_word(jobs: Sequence[JobFacts]) -> str:
    recorded = sum(job.recorded for job in jobs)
    return "recorded" if recorded == len(jobs) else "modelled" if not recorded else "partly modelled"


def _problems(facts: Facts, details: Details) -> Iterator[str]:
    """What the page does not show, and why."""
    found = [facts.recording.problem] if facts.recording.problem else []
    found += facts.problems[:_MOST_PROBLEMS]
    if len(facts.problems) > _MOST_PROBLEMS:
        found.append(f"and {len(facts.problems) - _MOST_PROBLEMS} problems more")
    for what in sorted(details.left_out):
        found.append(f"{what} beyond this page's limit are left out; 'hornito trace show --job JOB' has all")
    for submit in facts.submits:
        if count := len(submit.repeats):
            first, last = submit.repeats[0], submit.repeats[-1]
            which = f"submit {first}" if count == 1 else f"{count} submits ({first} to {last})"
            does = "does" if count == 1 else "do"
            found.append(f"{which} {does} the same as submit {submit.number}, with the same memory: drawn once")
    if not facts.submits:
        found.append("no submit has jobs")
    if found:
        yield '<ul class="problems">' + "".join(f"<li>{escape(one)}</li>" for one in found) + "</ul>"


def _calls(facts: Facts) -> Iterator[str]:
    if not facts.calls:
        return
    spent: dict[str, list[int]] = {}
    for call in facts.calls:
        spent.setdefault(name_of(call), []).append(call.duration)
    yield f"<details class=block><summary>All {len(facts.calls)} calls by name</summary><div class=wide>"
    yield "<table><thead><tr><th>call</th><th>count</th><th>total</th><th>longest</th></tr></thead><tbody>"
    for name, times in sorted(spent.items(), key=lambda item: -sum(item[1])):
        cells = (escape(name.lower()), len(times), time_text(sum(times) / 1e9), time_text(max(times) / 1e9))
        yield "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
    yield "</tbody></table></div></details>"


def _submit(submit: SubmitFacts) -> Iterator[str]:
    yield f"<h2>Submit {submit.number}: network</h2>"
    yield '<p class="dim">Lines lead from a job to those that read what it wrote. Choose one for its tensors and'
    yield " listing: by mouse or touch, or by Tab, arrow keys and Enter.</p><section>"
    yield from graph(submit)
    yield "</section><h2>Memory over time</h2><section>"
    yield from memory_map(submit)
    yield from _buffers(submit)
    yield "</section><h2>Bytes moved</h2><section>"
    yield from _moved(submit)
    yield "</section>"
    if any(job.coefficients is not None for job in submit.jobs):
        yield "<h2>Compression of coefficients</h2><section>"
        yield from _compression(submit)
        yield "</section>"


def _buffers(submit: SubmitFacts) -> Iterator[str]:
    submission = submit.view.submission
    names: Names = submit.view.names
    yield f"<details><summary>All {len(submission.buffers)} buffers</summary><div class=wide><table><thead><tr>"
    yield "<th>buffer</th><th>address</th><th>bytes</th><th>jobs</th></tr></thead><tbody>"
    known = names.all()
    for number, buffer in enumerate(submission.buffers):
        users = escape("; ".join(submit.view.users(number))) if len(submission.buffers) * len(submit.jobs) < 1e6 else ""
        yield f"<tr><td>{known[number]}</td><td><code>{buffer.address:#010x}</code></td><td>{buffer.size:,}</td>"
        yield f"<td>{users}</td></tr>"
    yield "</tbody></table></div></details>"


def _moved(submit: SubmitFacts) -> Iterator[str]:
    most = max((job.work.traffic for job in submit.jobs), default=0)
    if not most:
        yield '<p class="dim">Not known: nobody knows the chip (name it with --chip).</p>'
        return
    yield '<div class="key"><span><i class="coefs"></i>coefficients read</span><span><i class="read"></i>tensors read'
    yield '</span><span><i class="write"></i>written</span></div><p class="dim">Over the memory bus, as modelled.</p>'
    for job in submit.jobs:
        work = job.work
        parts = (
            ("coefs", work.coefficient_reads),
            ("read", work.read - work.coefficient_reads),
            ("write", work.written),
        )
        bars = [(style, 100 * count / most) for style, count in parts]
        yield _bar(key(submit, job), job.job.unit, bars, bytes_text(work.traffic))


def _bar(job: str, unit: str, bars: Sequence[tuple[str, float]], words: str) -> str:
    drawn = "".join(f'<i class="{style}" style="width:{share:.2f}%"></i>' for style, share in bars)
    return (
        f'<div class="measure"><span>{job} {unit}</span><span class="bars">{drawn}</span>'
        f"<span>{escape(words)}</span></div>"
    )


def _compression(submit: SubmitFacts) -> Iterator[str]:
    yield '<p class="dim">Bytes of each job\'s stream, of what weights and biases take as they are.</p>'
    for job in submit.jobs:
        made = job.coefficients
        if made is None:
            if job.problem:
                yield _bar(key(submit, job), job.job.unit, (), job.problem)
            continue
        share = 100 * made.size / max(1, made.raw_bytes)
        words = f"{share:.0f} % of {bytes_text(made.raw_bytes)}, {100 * made.zeros / max(1, made.count):.0f} % zeros"
        yield _bar(key(submit, job), "NN", [("coefs", min(share, 100))], words)


def _tensors(details: Details) -> Iterator[str]:
    yield "<h2>Tensors</h2>"
    if not details.pictures:
        yield '<p class="dim">The recording has no contents of tensors.</p>'
        return
    yield '<p class="dim">As the device holds them, planes side by side; the lowest value is black.</p>'
    yield '<div class="gallery"></div>'
