"""Who may post: bearer token, basic authentication, client certificate, signature of the body.

Fails closed: a secret that cannot be read admits nobody, and without credentials only loopback
addresses are served (`app` refuses to listen elsewhere). Secrets are compared as bytes, in a time
that does not depend on where they differ.
"""

from ipmp_remediator.access.basic import BasicUsers
from ipmp_remediator.access.gate import Credentials, Gate, Verdict
from ipmp_remediator.access.secret import SecretError, SecretFile
from ipmp_remediator.access.signature import Signatures

__all__ = [
    "BasicUsers",
    "Credentials",
    "Gate",
    "SecretError",
    "SecretFile",
    "Signatures",
    "Verdict",
]
