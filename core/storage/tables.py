"""Every table, once. Times are integer milliseconds since the epoch; ids are prefixed random strings."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
)

__all__ = [
    "access_changes",
    "api_keys",
    "approvals",
    "audit_index",
    "blocks",
    "calls",
    "conversations",
    "entries",
    "external_content",
    "feedback",
    "grants",
    "links",
    "metadata",
    "recovery_codes",
    "refresh_tokens",
    "runs",
    "sessions",
    "setup",
    "shares",
    "users",
]

metadata = MetaData()

users = Table(
    "users",
    metadata,
    Column("id", String, primary_key=True),
    Column("username", String, nullable=False, unique=True),
    Column("password_hash", String, nullable=False),
    Column("role", String, nullable=False),
    Column("disabled", Boolean, nullable=False, default=False),
    Column("must_change", Boolean, nullable=False, default=False),  # a password of somebody else's choice
    Column("totp", Text),  # the second factor's secret, encrypted; NULL without one
    Column("totp_pending", Text),  # one that was shown and not confirmed yet
    Column("totp_counter", BigInteger),  # the last step that was used
    Column("last_login", BigInteger),
    Column("created", BigInteger, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String, primary_key=True),
    Column("user_id", String, ForeignKey("users.id"), nullable=False, index=True),
    Column("created", BigInteger, nullable=False),
    Column("renewed", BigInteger, nullable=False),
    Column("proved", BigInteger, nullable=False),  # when its person last gave the password
    Column("expires", BigInteger, nullable=False),
    Column("revoked", Boolean, nullable=False, default=False),
    # Ended by its own person, who only left.
    Column("logged_out", Boolean, nullable=False, default=False, server_default=false()),
    Column("ip", String),
    Column("user_agent", String),
)

# Every refresh token a session has had: one that comes again after its use ends the session.
refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("hash", String, primary_key=True),
    Column("session_id", String, ForeignKey("sessions.id"), nullable=False, index=True),
    Column("used", BigInteger),
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("user_id", String, ForeignKey("users.id"), primary_key=True),
    Column("hash", String, primary_key=True),
)

# Invitations, and links that set a new password.
links = Table(
    "links",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),  # invitation | reset
    Column("token_hash", String, nullable=False, unique=True),
    Column("user_id", String, ForeignKey("users.id"), index=True),  # of a reset
    Column("role", String),  # of an invitation
    Column("created_by", String, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("used", BigInteger),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("user_id", String, ForeignKey("users.id"), nullable=False, index=True),
    Column("name", String, nullable=False),
    Column("hash", String, nullable=False, unique=True),
    Column("ending", String, nullable=False),  # its last four characters, so that people can tell keys apart
    Column("scopes", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger),
    Column("last_used", BigInteger),
    Column("revoked", BigInteger),
)

# Networks that get no answer.
blocks = Table(
    "blocks",
    metadata,
    Column("network", String, primary_key=True),
    Column("reason", String, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger),
)

# One row: raised by every change of who may come in.
access_changes = Table("access_changes", metadata, Column("number", BigInteger, nullable=False))

# One row once the first administrator exists; until then the setup token's hash.
setup = Table(
    "setup",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("token_hash", String, nullable=False),
    Column("used", Boolean, nullable=False, default=False),
)

conversations = Table(
    "conversations",
    metadata,
    Column("id", String, primary_key=True),
    Column("user_id", String, ForeignKey("users.id"), nullable=False, index=True),
    Column("title", String, nullable=False),
    Column("workspace", String),  # a named workspace of host.toml, or NULL for the conversation's own
    Column("created", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    Column("model", String),  # a configured model's name, or NULL for the first its person may use
    Column("profile", String),
    Column("head", Integer),  # the last entry of the branch that is shown
    Column("pinned", Boolean, nullable=False, default=False, server_default=false()),
    Column("deleted", BigInteger),  # when its person deleted it; a minute later it is gone
)

# Read-only links to conversations.
shares = Table(
    "shares",
    metadata,
    Column("id", String, primary_key=True),
    Column("conversation_id", String, ForeignKey("conversations.id"), nullable=False, index=True),
    Column("user_id", String, nullable=False),
    Column("token_hash", String, nullable=False, unique=True),
    Column("created", BigInteger, nullable=False),
    Column("revoked", BigInteger),
    Column("last_seen", BigInteger),
    Column("views", Integer, nullable=False),
)

# What a conversation holds, a tree: a person's message, a model's, what the host says, a tool call.
entries = Table(
    "entries",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("conversation_id", String, ForeignKey("conversations.id"), nullable=False, index=True),
    Column("run_id", String, nullable=False),
    Column("kind", String, nullable=False),  # user | assistant | notice | error | call
    Column("text", Text, nullable=False, default=""),
    Column("call_id", String),
    Column("created", BigInteger, nullable=False),
    Column("data", Text),
    Column("parent_id", Integer),
)

# Every run of a conversation, and what it takes to go on with one that waits for a person.
runs = Table(
    "runs",
    metadata,
    Column("id", String, primary_key=True),
    Column("user_id", String, nullable=False, index=True),
    Column("conversation_id", String, ForeignKey("conversations.id"), nullable=False, index=True),
    Column("kind", String, nullable=False),  # message | call
    Column("state", String, nullable=False, index=True),
    Column("text", Text, nullable=False, default=""),
    Column("model", String),
    Column("profile", String),
    Column("error", Text),
    Column("usage", Text),
    Column("messages", Text),  # what the model said and was told in this run
    Column("pending", Text),  # of a run that waits: which call answers which of the model's requests
    Column("events", LargeBinary),  # of a run that waits: what its watchers have seen
    Column("created", BigInteger, nullable=False),
    Column("ended", BigInteger),
    Column("session_id", String),  # where it was begun, so that it ends when that is revoked
)

# What people say of a model's answers, for administrators to read. No model ever sees it.
feedback = Table(
    "feedback",
    metadata,
    Column("entry_id", Integer, ForeignKey("entries.id"), primary_key=True),
    Column("user_id", String, nullable=False),
    Column("conversation_id", String, nullable=False),
    Column("rating", String, nullable=False),  # up | down
    Column("comment", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
)

calls = Table(
    "calls",
    metadata,
    Column("id", String, primary_key=True),
    Column("user_id", String, nullable=False, index=True),
    Column("conversation_id", String, index=True),
    Column("tool", String, nullable=False),
    Column("arguments", Text, nullable=False),
    Column("workspace", Text, nullable=False),
    Column("actor", Text),  # of calls from before it was written down: NULL
    Column("decision", Text),  # likewise
    Column("parent_id", String, index=True),  # the call whose worker asked for this one
    Column("status", String, nullable=False),
    Column("plan", Text),
    Column("result", Text),
    Column("created", BigInteger, nullable=False),
    Column("finished", BigInteger),
)

approvals = Table(
    "approvals",
    metadata,
    Column("id", String, primary_key=True),
    Column("call_id", String, nullable=False, unique=True),
    Column("user_id", String, nullable=False, index=True),
    Column("digest", String, nullable=False),
    Column("state", String, nullable=False),  # pending | approved | refused | expired | changed
    Column("reason", Text, nullable=False, default=""),
    Column("scopes", Text, nullable=False),  # how far a yes may reach
    Column("terms", Text, nullable=False),  # what a grant would cover
    Column("change", Text),  # what it would change in files, where that is known
    Column("explanation", Text, nullable=False, server_default=""),  # a model's own words, unchecked
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("decided", BigInteger),
    Column("decided_by", String),
)

# Answers that count again. A grant that ended stays, so that the calls it let through keep their reason.
grants = Table(
    "grants",
    metadata,
    Column("id", String, primary_key=True),
    Column("user_id", String, nullable=False),
    Column("scope", String, nullable=False),  # conversation | standing
    Column("conversation_id", String),
    Column("approval_id", String, nullable=False),
    Column("tool", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("rules", Text, nullable=False),
    Column("source", String),
    Column("terms", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("last_used", BigInteger),
    Column("uses", Integer, nullable=False),
    Column("revoked", BigInteger),
    Column("revoked_because", String),  # person | rule_changed
)

# The first call of each tool that could bring content from elsewhere into a conversation.
external_content = Table(
    "external_content",
    metadata,
    Column("conversation_id", String, primary_key=True),
    Column("tool", String, primary_key=True),
    Column("user_id", String, nullable=False),
    Column("call_id", String, nullable=False),
    Column("origins", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
)

# An index over state/audit.log, which is the authority; `toolhost` can rebuild it from the file.
audit_index = Table(
    "audit_index",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("timestamp", BigInteger, nullable=False),
    Column("category", String, nullable=False),
    Column("event", String, nullable=False),
    Column("call_id", String, index=True),
    Column("user_id", String),
    Column("line", Text, nullable=False),
)

Index("grants_by_digest", grants.c.user_id, grants.c.digest)
Index("audit_index_by_event", audit_index.c.category, audit_index.c.event)
