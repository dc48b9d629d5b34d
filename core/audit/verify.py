"""Verifying the log: each record as it was sealed, after the one it names, none missing, and as the index has it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from toolhost.audit.files import log_files
from toolhost.audit.record import GENESIS, read_line, verify_line

__all__ = ["Finding", "Verification", "verify"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is not as it was written.

    Attributes:
        file: The file.
        line: From 1; 0 for what is not in the file.
        code: `record_changed`, `records_missing`, `record_out_of_order`, `record_replaced`, `beginning_missing`,
            `end_missing`; `line_torn` for a line that belongs to no record, which a crash leaves.
        message: One sentence.
    """

    file: Path
    line: int
    code: str
    message: str

    @property
    def harmless(self) -> bool:
        """Whether no record is lacking or changed."""
        return self.code == "line_torn"

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.code}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was found.

    Attributes:
        records: How many records are as they were sealed.
        first: Sequence number of the first of them; 0 for none.
        last: Of the last.
        last_hash: Its hash: kept elsewhere, it proves later that nothing before it was changed.
        findings: What is wrong.
    """

    records: int
    first: int
    last: int
    last_hash: str
    findings: tuple[Finding, ...]

    @property
    def intact(self) -> bool:
        """Whether no record is lacking or changed."""
        return all(finding.harmless for finding in self.findings)


class _Walk:
    """One way through the files, from the first line to the last."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.records = self.first = self.seq = 0
        self.hash = GENESIS
        self._start: tuple[Path, int, str] | None = None  # where records begin after some were pruned
        self._pruned: dict[int, str] = {}
        self._torn: Finding | None = None
        self._late: set[int] = set()
        self._missing: list[tuple[Finding, range]] = []

    def line(self, file: Path, number: int, text: str) -> None:
        verified = verify_line(text)
        if verified is None:
            self._broken(file, number, text)
            return
        seq, previous, digest = verified
        self.records += 1
        if not self.first:
            self.first = seq
            if previous != GENESIS or seq != 1:
                self._start = (file, seq - 1, previous)
        elif seq <= self.seq:
            self._late.add(seq)
            self._found(file, number, "record_out_of_order", f"Record {seq} stands after record {self.seq}.")
            return
        elif seq > self.seq + 1:
            which = _span(self.seq + 1, seq - 1)
            self._found(file, number, "records_missing", f"Between record {self.seq} and this one, {which} missing.")
            self._missing.append((self.findings[-1], range(self.seq + 1, seq)))
        elif previous != self.hash:
            self._replaced(file, number, seq)
        self._torn = None
        self.seq, self.hash = seq, digest
        if '"event":"audit.pruned"' in text:
            # Only a hint: the arguments of a call that was denied can say it too.
            body = json.loads(text)
            if body["event"] == "audit.pruned" and body["category"] == "system":
                self._pruned[body["details"]["last"]] = body["details"]["last_hash"]

    def _broken(self, file: Path, number: int, text: str) -> None:
        try:
            body = read_line(text)
            seq, stated = int(body["seq"]), str(body["hash"])
        except (ValueError, KeyError, TypeError, OverflowError):
            self._torn = Finding(
                file=file,
                line=number,
                code="line_torn",
                message="This line is no record; a crash may have cut it short.",
            )
            self.findings.append(self._torn)
            return
        self._found(file, number, "record_changed", f"Record {seq} is not as it was sealed.")
        if seq == self.seq + 1:
            self.seq, self.hash = seq, stated  # what follows it is judged by itself
            self.first = self.first or seq

    def _replaced(self, file: Path, number: int, seq: int) -> None:
        message = f"Record {seq} follows another record {seq - 1} than the one before it, which was put in its place."
        self._found(file, number, "record_replaced", message)

    def _found(self, file: Path, line: int, code: str, message: str) -> None:
        if self._torn is not None and code in ("records_missing", "record_replaced"):
            # What is missing was on the line that is no record any more.
            self.findings.remove(self._torn)
            file, line, code = self._torn.file, self._torn.line, "record_changed"
            message = f"Record {self.seq + 1} is not as it was sealed: this line is no record any more."
            self._torn = None
        self.findings.append(Finding(file=file, line=line, code=code, message=message))

    def end(self) -> None:
        for finding, seqs in self._missing:
            if self._late.issuperset(seqs):
                self.findings.remove(finding)  # they are there, further down
        if self._start is not None:
            file, last, digest = self._start
            if self._pruned.get(last) != digest:
                message = f"{_span(1, last).capitalize()} missing, and no record says that they were pruned."
                self._found(file, 1, "beginning_missing", message)


def verify(path: Path, index: Iterable[tuple[int, str]] | None = None) -> Verification:
    """Read the whole log and say what is not as it was written.

    Args:
        path: The file that is written; those before it are found beside it.
        index: Sequence number and line of each record as the database has it, in order; only there can be seen
            what was cut off at the end, and that a chain was made anew.
    """
    walk = _Walk()
    known = iter(index or ())
    expected = next(known, None)
    for file in log_files(path):
        for number, text in _lines(file):
            before = walk.records
            walk.line(file, number, text)
            if walk.records == before:
                continue
            while expected is not None and expected[0] < walk.seq:
                expected = next(known, None)
            if expected is not None and expected[0] == walk.seq:
                if expected[1] != text:
                    message = f"The index of the database has another record {walk.seq}."
                    walk.findings.append(Finding(file=file, line=number, code="record_replaced", message=message))
                expected = next(known, None)
    walk.end()
    newest = max((seq for seq, _ in known), default=0 if expected is None else expected[0])
    if newest > walk.seq:
        message = f"The log ends with record {walk.seq}, and the index of the database knows {newest}."
        walk.findings.append(Finding(file=path, line=0, code="end_missing", message=message))
    return Verification(
        records=walk.records, first=walk.first, last=walk.seq, last_hash=walk.hash, findings=tuple(walk.findings)
    )


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            yield number, line.rstrip(b"\n").decode("ascii", "replace")


def _span(first: int, last: int) -> str:
    return f"record {first} is" if first == last else f"records {first} to {last} are"
