"""The ground floor: a plan goes in, an isolated process runs, an outcome comes out.

This room knows nothing of plugins, users or the web, and it is the only one that starts processes.
"""

from toolhost.sandbox.egress import Connection, OnConnection
from toolhost.sandbox.errors import PlanRefused, SandboxError, SandboxUnavailable
from toolhost.sandbox.execution import Execution
from toolhost.sandbox.outcome import LimitReport, Outcome
from toolhost.sandbox.plan import HostFile, Limits, Program, Root, SandboxPlan
from toolhost.sandbox.pool import Armament
from toolhost.sandbox.probe import Check, probe
from toolhost.sandbox.programs import pin
from toolhost.sandbox.reservation import Reservation
from toolhost.sandbox.roots import root
from toolhost.sandbox.sandbox import Sandbox

__all__ = [
    "Armament",
    "Check",
    "Connection",
    "Execution",
    "HostFile",
    "LimitReport",
    "Limits",
    "OnConnection",
    "Outcome",
    "PlanRefused",
    "Program",
    "Reservation",
    "Root",
    "Sandbox",
    "SandboxError",
    "SandboxPlan",
    "SandboxUnavailable",
    "pin",
    "probe",
    "root",
]
