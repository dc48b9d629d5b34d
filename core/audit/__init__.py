"""What happened, in a file that shows when it was changed."""

from toolhost.audit.log import AuditLog
from toolhost.audit.record import GENESIS, AuditRecord, seal, verify_line
from toolhost.audit.search import records_of_call

__all__ = ["GENESIS", "AuditLog", "AuditRecord", "records_of_call", "seal", "verify_line"]
