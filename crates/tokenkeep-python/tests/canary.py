"""A text that the search of a process's memory looks for."""


def canary(seed: int) -> bytearray:
    """Letter by letter, into a buffer of its final size: nothing else in the process has the text."""
    made = bytearray(40)
    for at in range(40):
        made[at] = 97 + (seed * 31 + at * at * 7 + at * 11) % 26
    return made
