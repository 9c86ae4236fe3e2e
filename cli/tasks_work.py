"""`pressroom tasks work`: one task after the other at a terminal, each held while somebody is there."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cli.output import out, say
from cli.tasks import Desk
from cli.tasks_text import countdown, decision, remark, report_path, show_case
from pressroom.errors import BadInput, PressroomError
from pressroom.review import labels, tasks, verdicts
from pressroom.review.heartbeat import Heartbeat
from pressroom.store.review import Case, Task, read_case, read_task

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.orm import Session

HELP = """\
c TRIGGER...                    confirm
r TRIGGER REASON                reject
t TRIGGER FROM TO [REASON]      wrong time; a place is 83.5 or 1:23.5
o TRIGGER CODE [REASON]         wrong code: this is the right one
m CODE FROM TO [REASON]         missed: a trigger that is not there
w LABEL                         withdraw a label
d VERDICT REASON                decide: approved, rejected or changes_needed; then comes the next task
s REASON                        skip: somebody else does it
e [@ROLE] REASON                escalate: somebody else does it, first of all, or somebody with this role
n                               give it back and take the next one
v                               view the task again
q                               give it back and end"""


def work(desk: Desk, wanted: str | None) -> None:
    """Takes tasks until none waits or the person ends. Raises as `claim` does for a task that was asked for by its id."""
    codes = desk.codes()
    task = _first(desk, wanted)
    while task and _sit(desk, task, codes):
        task = _first(desk, None)
    if task is None:
        say(f"no task waits for {desk.person.name}")


def _first(desk: Desk, wanted: str | None) -> Task | None:
    with desk.store.transaction() as session:
        if wanted:
            return tasks.claim_one(session, desk.find(session, wanted), desk.person, lease=tasks.WATCHED_LEASE)
        return tasks.claim(session, desk.account_id, desk.person, lease=tasks.WATCHED_LEASE)


def _sit(desk: Desk, task: Task, codes: dict[str, str | None]) -> bool:
    """One task, until it is decided or given away. Returns whether the person goes on."""
    sitting = Sitting(desk, task, codes)
    with Heartbeat(desk.store, task.id, desk.person) as heart, _countdown(heart, task):
        sitting.show()
        try:
            while sitting.is_mine:
                line = input(f"[{countdown(heart.left_s)} left] ? for help > ").strip()
                heart.touched()
                if line.lower() in ("q", "n"):
                    sitting.give_back()
                    return line.lower() == "n"
                sitting.obey(line)
        except (EOFError, KeyboardInterrupt) as ended:
            sitting.give_back()
            if isinstance(ended, KeyboardInterrupt):
                raise
            out.print()  # the prompt's line has no end yet
            return False
    return True


class Sitting:
    """A person at a task. Every save says which version it saw, so that nothing is written over what it has not shown."""

    def __init__(self, desk: Desk, task: Task, codes: dict[str, str | None]) -> None:
        self._desk, self._codes, self._task = desk, codes, task

    @property
    def is_mine(self) -> bool:
        return self._task.state == "claimed" and self._task.holder == self._desk.person.name

    def show(self) -> None:
        case = self._case()
        if out.is_terminal:
            out.clear()
            out.print()  # the top line is the countdown's
        show_case(case, report_path(self._desk.settings, case))

    def give_back(self) -> None:
        """Releases the task, unless it is somebody else's by now."""
        try:
            with self._desk.store.transaction() as session:
                self._task = tasks.release(session, self._task.id, self._desk.person)
        except PressroomError as error:
            say(str(error))

    def obey(self, line: str) -> None:
        """Does what the line says. What is wrong with it, or what somebody else did first, is said, and the desk stays open."""
        letter, _, rest = line.partition(" ")
        try:
            if letter == "v":
                self.show()
            elif letter in ("", "?", "h", "help"):
                out.print(HELP, markup=False, highlight=False)
            else:
                with self._desk.store.transaction() as session:
                    self._do(session, letter.lower(), rest.strip())
                    self._task = read_task(session, self._task.id)
                say(tasks.described(self._task, self._case().labels))
        except tasks.Conflict as conflict:
            self._task = conflict.now
            say(str(conflict))
        except PressroomError as error:
            say(str(error))

    def _case(self) -> Case:
        with self._desk.store.transaction() as session:
            return read_case(session, self._task.id)

    def _do(self, session: "Session", letter: str, rest: str) -> None:
        id, person, version = self._task.id, self._desk.person, self._task.version
        if letter in _REMARKS:
            labels.add_labels(session, id, person, _remarks(letter, rest), codes=self._codes, version=version)
        elif letter == "w":
            labels.withdraw_label(session, id, person, rest, version=version)
        elif letter == "d":
            word, _, reason = rest.partition(" ")
            share = self._desk.settings.second_review
            verdicts.decide(session, id, person, decision(word), reason, version=version, second_reviews=share)
        elif letter == "s":
            tasks.skip(session, id, person, rest, version=version)
        elif letter == "e":
            self._escalate(session, id, rest, version)
        else:
            raise BadInput(f"'{letter}' is no command here; ? lists them")

    def _escalate(self, session: "Session", id: "UUID", rest: str, version: int) -> None:
        first, _, others = rest.partition(" ")
        role, reason = (first[1:], others) if first.startswith("@") else (None, rest)
        tasks.escalate(session, id, self._desk.person, reason, role=role, version=version)


# Letter: kind of label, and what its words are, the last one taking all that is left.
_REMARKS = {
    "c": ("confirm", ("trigger",)),
    "r": ("reject", ("trigger", "reason")),
    "t": ("wrong_time", ("trigger", "from", "to", "reason")),
    "o": ("wrong_code", ("trigger", "code", "reason")),
    "m": ("missed", ("code", "from", "to", "reason")),
}


def _remarks(letter: str, rest: str) -> list[labels.Remark]:
    kind, names = _REMARKS[letter]
    if letter == "c":
        return [remark(kind, _number(word), None, None, None, "") for word in rest.split() or [""]]
    words = dict(zip(names, rest.split(maxsplit=len(names) - 1), strict=False))
    number = _number(words.get("trigger", "")) if "trigger" in names else None
    return [remark(kind, number, words.get("code"), words.get("from"), words.get("to"), words.get("reason", ""))]


def _number(word: str) -> int:
    if not word.isdecimal():
        raise BadInput(f"'{word}' is no number of a trigger; ? shows how it is written")
    return int(word)


@contextmanager
def _countdown(heart: Heartbeat, task: Task) -> Iterator[None]:
    """The lease's countdown in the top line of the terminal, every second, while the block runs and the person types below it."""
    if not out.is_terminal:
        yield
        return
    done = threading.Event()

    def watch() -> None:
        while not done.wait(1):
            # Rich renders the line; the cursor is saved before and put back after it, where the person is typing.
            with out.capture() as line:
                state = (
                    "[bold red]LOST[/]: somebody else has it"
                    if heart.lost
                    else f"[bold]{countdown(heart.left_s)}[/] left, renewed by itself"
                )
                out.print(f"[reverse] task {str(task.id)[:8]} [/] {state}", end="", highlight=False)
            out.file.write(f"\x1b7\x1b[1;1H{line.get()}\x1b[K\x1b8")
            out.file.flush()

    watcher = threading.Thread(target=watch, name="countdown", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
