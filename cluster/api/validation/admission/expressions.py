"""Whether an expression of admission can be used: for one thing, whether it is CEL."""

from kubeherd.cluster.api.cel.policies.scope import Returns, Scope
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.validation.causes import invalid


def expression(
    text: str, scope: Scope, returns: Returns, path: str, *, shown: str | None = None
) -> list[Cause]:
    """The cause for which an expression is refused, if there is one. `shown`: what the message says
    was sent."""
    from kubeherd.cluster.api.cel.policies import admission  # noqa: PLC0415 - large

    problem = admission.problem_of(text, scope, returns)
    return [invalid(path, text if shown is None else shown, problem)] if problem else []
