"""The pull policy that an image reference implies."""


def pull_policy(image: str) -> str:
    """Always for the tag ``latest`` or neither tag nor digest, else IfNotPresent (section 17)."""
    name, at, _ = image.partition("@")
    if at:
        tag = name.rpartition("/")[2].partition(":")[2]
        return "Always" if tag == "latest" else "IfNotPresent"
    tag = name.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"
