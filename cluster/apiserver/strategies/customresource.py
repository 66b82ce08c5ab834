"""CustomResourceDefinitions: stored, and plainly marked as not served.

kubeherd serves the built-in kinds only. A definition is kept as it came, its status says that its
names are not accepted, and whoever writes one is warned at once, so that nobody waits in vain for
the condition Established.
"""

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.strategies.base import Strategy
from kubeherd.cluster.apiserver.write.context import RequestContext

NOT_SERVED = "kubeherd stores CustomResourceDefinitions but serves no custom resources"


class DefinitionStrategy(Strategy):
    def prepare_create(self, tree: JsonObject, ctx: RequestContext) -> None:
        super().prepare_create(tree, ctx)
        versions = tree.get("spec", {}).get("versions") or []
        tree["status"] = {
            "conditions": [
                _false("NamesAccepted", "NotSupported", NOT_SERVED, ctx.timestamp),
                _false("Established", "NotAccepted", "not all names are accepted", ctx.timestamp),
            ],
            "acceptedNames": {"plural": "", "kind": ""},
            "storedVersions": [v.get("name", "") for v in versions if v.get("storage")],
        }
        ctx.warnings.append(NOT_SERVED)

    def prepare_update(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        super().prepare_update(new, old, ctx)
        ctx.warnings.append(NOT_SERVED)


def _false(kind: str, reason: str, message: str, since: str) -> JsonObject:
    return {
        "type": kind,
        "status": "False",
        "lastTransitionTime": since,
        "reason": reason,
        "message": message,
    }
