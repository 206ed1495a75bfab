# SPDX-License-Identifier: MIT
"""Why does a selection show nothing of a recording? And which jobs are there in its place?"""

from collections.abc import Iterable, Iterator, Sequence

from hornito.errors import BadInput
from hornito.stream.annotate import NN
from hornito.trace.records import Recording
from hornito.trace.selection import JobNumber, Selection
from hornito.trace.view import SubmitView, view


def convolution(recording: Recording, wanted: JobNumber, chip: str = "") -> SubmitView:
    """The submit in which that job is an NN job. Raises BadInput where there is none, or more than one."""
    found: list[SubmitView] = []
    known: list[JobNumber] = []
    for seen in _views(recording, chip):
        numbers = [job.number for job in seen.jobs if job.unit == NN]
        known += [JobNumber(number, seen.submit.number) for number in numbers]
        if wanted.job in numbers and wanted.submit in (None, seen.submit.number):
            found.append(seen)
    if len(found) > 1:
        submits = ", ".join(str(seen.submit.number) for seen in found)
        example = JobNumber(wanted.job, found[0].submit.number)
        raise BadInput(
            f"{recording.path}: job {wanted} is an NN job of the submits {submits}; write {example} for that of "
            f"submit {example.submit}"
        )
    if not found:
        raise BadInput(f"{recording.path}: has no NN job {wanted}; there are {_jobs(known)}")
    return found[0]


def reason(recording: Recording, selection: Selection, chip: str = "") -> str:
    """Why nothing of it is shown, in a line, with what there is."""
    submits = [submit.number for submit in recording.submits()]
    if selection.submits and not set(selection.submits) & set(submits):
        return f"no submit {_or(selection.submits)}; submits are {ranges(submits)}"
    inside = [
        JobNumber(job.number, seen.submit.number)
        for seen in _views(recording, chip)
        if not selection.submits or seen.submit.number in selection.submits
        for job in seen.jobs
        if not selection.units or job.unit in selection.units
    ]
    units = "".join(f"{unit} " for unit in selection.units)
    if not inside and (selection.jobs or selection.units):
        return f"no {units}jobs there"
    if selection.jobs and not any(want.matches(one.submit or 0, one.job) for want in selection.jobs for one in inside):
        return f"no {units}job {_or(selection.jobs)}; jobs are {_jobs(inside)}"
    if selection.fields:
        return f"no field or state {_or(selection.fields)} there; 'hornito trace facts' lists their names"
    return "nothing there is both of these jobs and of this submit"


def ranges(numbers: Iterable[int]) -> str:
    """As in ``0 to 2, 5``; ``none`` of none."""
    found: list[list[int]] = []
    for number in sorted(set(numbers)):
        if found and number == found[-1][-1] + 1:
            found[-1].append(number)
        else:
            found.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in found) or "none"


def _jobs(numbers: Sequence[JobNumber]) -> str:
    """By submit where there is more than one."""
    submits = sorted({number.submit or 0 for number in numbers})
    if len(submits) < 2:
        return ranges(number.job for number in numbers)
    return "; ".join(f"{ranges(n.job for n in numbers if n.submit == one)} of submit {one}" for one in submits)


def _or(wanted: Sequence[object]) -> str:
    return " or ".join(map(str, wanted[:4])) + (" or ..." if len(wanted) > 4 else "")


def _views(recording: Recording, chip: str) -> Iterator[SubmitView]:
    """Of the submits that can be understood."""
    problem: BadInput | None = None
    some = False
    for submit in recording.submits():
        try:
            seen = view(recording, submit, chip)
        except BadInput as error:
            problem = problem or error
            continue
        some = True
        yield seen
    if problem is not None and not some:
        raise problem
