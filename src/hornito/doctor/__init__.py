# SPDX-License-Identifier: MIT
"""Is a device sound? Its self-test against the virtual NPU, the report of it, and what such a report proves."""

from hornito.doctor.examination import Examination, examine
from hornito.doctor.report import JobResult, Patient, Report, Verdict
from hornito.doctor.report_file import pack_report, read_report, write_report

__all__ = [
    "Examination",
    "JobResult",
    "Patient",
    "Report",
    "Verdict",
    "examine",
    "pack_report",
    "read_report",
    "write_report",
]
