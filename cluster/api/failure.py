"""The base of everything that kubeherd raises for its users."""


class KubeherdError(Exception):
    """Something that was asked of kubeherd did not work; the text says what, for a person."""
