"""What happened, in a file that shows when it was changed."""

from toolhost.audit.log import AuditLog
from toolhost.audit.record import GENESIS, AuditRecord, seal, verify_line

__all__ = ["GENESIS", "AuditLog", "AuditRecord", "seal", "verify_line"]
