"""DaemonSets: the template generation annotation.

Source: spec daemonset-controller, section 12. The annotation is how apps/v1 shows an internal
counter: it is always present, a client may choose it at creation only, and it grows by one exactly
when the template changes.
"""

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.strategies.base import Strategy
from kubeherd.cluster.apiserver.write.context import RequestContext

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_INT64_MAX = 2**63 - 1


class DaemonSetStrategy(Strategy):
    def normalise(self, tree: JsonObject) -> None:
        _set_template_generation(tree, template_generation(tree))

    def prepare_create(self, tree: JsonObject, ctx: RequestContext) -> None:
        super().prepare_create(tree, ctx)
        _set_template_generation(tree, max(1, template_generation(tree)))

    def prepare_update(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        generation = template_generation(old)
        changed = (new.get("spec") or {}).get("template") != (old.get("spec") or {}).get("template")
        _set_template_generation(new, generation + 1 if changed else generation)
        super().prepare_update(new, old, ctx)

    def prepare_status(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        super().prepare_status(new, old, ctx)
        _set_template_generation(new, template_generation(old))


def template_generation(tree: JsonObject) -> int:
    """The annotation's number, 0 if it is absent; BadRequest if it is no number."""
    text = (tree["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION)
    if text is None:
        return 0
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        raise _unparsable(text, "invalid syntax")
    if len(digits) > 19 or abs(int(text)) > _INT64_MAX:
        raise _unparsable(text, "value out of range")
    return int(text)


def _unparsable(text: str, why: str) -> errors.BadRequest:
    return errors.BadRequest(
        'DaemonSet in version "v1" cannot be handled as a DaemonSet: '
        f'strconv.ParseInt: parsing "{text}": {why}'
    )


def _set_template_generation(tree: JsonObject, generation: int) -> None:
    meta = tree["metadata"]
    meta["annotations"] = {**(meta.get("annotations") or {}), TEMPLATE_GENERATION: str(generation)}
