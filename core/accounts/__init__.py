"""People: who they are, how they prove it, and the sessions in which they do."""

from toolhost.accounts.accounts import Accounts, Client, Principal, SignedIn, User
from toolhost.accounts.tokens import ACCESS_SECONDS, REFRESH_SECONDS

__all__ = ["ACCESS_SECONDS", "REFRESH_SECONDS", "Accounts", "Client", "Principal", "SignedIn", "User"]
