"""What happened, in files that show when they were changed."""

from toolhost.audit.files import log_files
from toolhost.audit.log import AuditLog, AuditTerms
from toolhost.audit.record import GENESIS, AuditRecord, Encoded, seal, verify_line
from toolhost.audit.search import AuditQuery, last_records, moment_of, records, records_of_call
from toolhost.audit.verify import Finding, Verification, verify

__all__ = [
    "GENESIS",
    "AuditLog",
    "AuditQuery",
    "AuditRecord",
    "AuditTerms",
    "Encoded",
    "Finding",
    "Verification",
    "last_records",
    "log_files",
    "moment_of",
    "records",
    "records_of_call",
    "seal",
    "verify",
    "verify_line",
]
