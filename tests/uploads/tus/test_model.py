"""A small model of docs/resumable.md: requests, finishing and ends, in every order of their steps.

With all rules no order violates an invariant. Without any one of them some order does.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

FILE = "ab"
RULES = frozenset({"writes want the present epoch", "part numbers are given out once", "a turn tells its offset"}) | {
    "admission wants finishing"
}


@dataclasses.dataclass(frozen=True)
class Request:
    """One PATCH. ``part`` are the letters that it stores under ``number`` next."""

    at: str = "begin"
    epoch: int = 0
    offset: int = 0
    number: int = 0
    part: str = ""


@dataclasses.dataclass(frozen=True)
class World:
    """The row, the bucket, and who is under way. ``late`` are parts that S3 has not stored yet, and will some day."""

    state: str = "receiving"
    epoch: int = 0
    next_number: int = 1
    counted: tuple[tuple[int, int], ...] = ()
    requests: tuple[Request, ...] = (Request(), Request())
    stored: tuple[tuple[int, str], ...] = ()
    late: tuple[tuple[int, str], ...] = ()
    is_let_go: bool = False
    is_deleted: bool = False
    is_read: bool = False
    image: str | None = None

    @property
    def offset(self) -> int:
        return sum(size for _, size in self.counted)


def stored_with(world: World, number: int, part: str) -> tuple[tuple[int, str], ...]:
    return tuple(sorted({**dict(world.stored), number: part}.items()))


def following(world: World, rules: frozenset[str]) -> Iterator[World]:
    """Every world that can come next."""
    for place, request in enumerate(world.requests):
        yield from steps_of_request(world, place, request, rules)
    for number, part in world.late:
        rest = tuple(other for other in world.late if other != (number, part))
        yield dataclasses.replace(world, stored=stored_with(world, number, part), late=rest)
    if world.state == "finishing" and not world.is_read:
        yield dataclasses.replace(world, is_read=True)
    may_admit = world.state == "finishing" or "admission wants finishing" not in rules
    if world.is_read and world.image is None and may_admit:
        parts = dict(world.stored)
        text = "".join(parts.get(number, "") for number, _ in world.counted)
        yield dataclasses.replace(world, state="done", image=text)
    if world.state in ("receiving", "finishing"):  # DELETE or expiry
        yield dataclasses.replace(world, state="refused", epoch=world.epoch + 1, is_let_go=True)
    if world.is_let_go and not world.is_deleted:  # the reaper
        yield dataclasses.replace(world, is_deleted=True)


def steps_of_request(world: World, place: int, request: Request, rules: frozenset[str]) -> Iterator[World]:
    def become(at: str, row: dict[str, Any] | None = None, **changes: Any) -> World:
        changed = dataclasses.replace(request, at=at, **changes)
        requests = (*world.requests[:place], changed, *world.requests[place + 1 :])
        return dataclasses.replace(world, requests=requests, **(row or {}))

    is_present = request.epoch == world.epoch or "writes want the present epoch" not in rules
    may_write = is_present and world.state == "receiving"
    if request.at == "begin" and world.state == "receiving":
        epoch = world.epoch + 1
        yield become("choose", {"epoch": epoch}, epoch=epoch, offset=world.offset)
        if "a turn tells its offset" not in rules:  # the client read the offset before, when it was 0
            yield become("choose", {"epoch": epoch}, epoch=epoch, offset=0)
    elif request.at == "choose" and may_write:
        for size in range(1, len(FILE) - request.offset + 1):
            part = FILE[request.offset : request.offset + size]
            if "part numbers are given out once" in rules:
                number = world.next_number
                yield become("put", {"next_number": number + 1}, number=number, part=part)
            else:
                yield become("put", number=len(world.counted) + 1, part=part)
    elif request.at == "put":
        yield become("count", {"stored": stored_with(world, request.number, request.part)})
        yield become("over", {"late": (*world.late, (request.number, request.part))})  # given up, and on its way
    elif request.at == "count" and may_write:
        counted = (*world.counted, (request.number, len(request.part)))
        offset = world.offset + len(request.part)
        state = "receiving" if offset < len(FILE) else "finishing"
        yield become("choose", {"counted": counted, "state": state}, offset=request.offset + len(request.part))


def trouble_of(world: World) -> str | None:
    if world.offset > len(FILE):
        return "more is counted than the file has"
    if world.image is not None and world.image != FILE:
        return f"the image is {world.image!r}"
    if world.image is not None and world.is_let_go:
        return "the reaper has the object of an image"
    return None


def walk(rules: frozenset[str]) -> str | None:
    """The first violation in any order of steps, None without one."""
    seen, waiting = {World()}, [World()]
    while waiting:
        for world in following(waiting.pop(), rules):
            if (trouble := trouble_of(world)) is not None:
                return trouble
            if world not in seen:
                seen.add(world)
                waiting.append(world)
    assert any(world.image == FILE for world in seen)
    return None


def test_no_order_of_steps_does_harm() -> None:
    assert walk(RULES) is None


@pytest.mark.parametrize("rule", sorted(RULES))
def test_without_one_of_its_rules_the_protocol_would_do_harm(rule: str) -> None:
    assert walk(RULES - {rule}) is not None
