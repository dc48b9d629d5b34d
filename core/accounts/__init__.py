"""People: who they are, how they prove it, what they may do, and the sessions and keys with which they do it."""

from toolhost.accounts.accounts import Accounts
from toolhost.accounts.model import Account, Client, Principal, SignedIn, User
from toolhost.accounts.tokens import ACCESS_SECONDS, REFRESH_SECONDS

__all__ = ["ACCESS_SECONDS", "REFRESH_SECONDS", "Account", "Accounts", "Client", "Principal", "SignedIn", "User"]
