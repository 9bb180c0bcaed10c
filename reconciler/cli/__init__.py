"""One file per verb. A verb asks the server over HTTP or runs it; it decides nothing itself.

Start-up is what a user feels, so a verb imports only what it needs, when it needs it.
"""
