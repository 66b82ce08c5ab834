"""Numbers that may be percentages (IntOrString): maxUnavailable, maxSurge, minAvailable."""


class InvalidNumber(ValueError):
    """Neither an integer nor a percentage."""


def scaled(value: int | str | None, total: int, *, round_up: bool = True) -> int:
    """An integer as it is, ``"N%"`` of `total` rounded up or down, None as 0; InvalidNumber
    otherwise."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    number = value.removesuffix("%")
    if number == value or not (number.isascii() and number.isdigit()):
        raise InvalidNumber(
            f'invalid value for IntOrString: invalid type: string is not a percentage "{value}"'
        )
    return -(-int(number) * total // 100) if round_up else int(number) * total // 100
