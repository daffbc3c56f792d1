"""A stand-in for `run`: it notes the commands and answers what it was told to."""

import shlex

from mcv.errors import CommandFailed

Answer = str | CommandFailed | list[str]


class Recorder:
    """Answers by how a command begins; of a list one after the other, the last for ever."""

    def __init__(self, answers: dict[str, Answer] | None = None) -> None:
        self.answers = answers or {}
        self.commands: list[str] = []
        self.timeouts: list[float] = []

    def __call__(self, *command: str, stdin: str = "", timeout: float = 60) -> str:
        line = shlex.join(command)
        self.commands.append(line)
        self.timeouts.append(timeout)
        for beginning, answer in self.answers.items():
            if line.startswith(beginning):
                return self._say(answer)
        return ""

    def _say(self, answer: Answer) -> str:
        if isinstance(answer, CommandFailed):
            raise answer
        if isinstance(answer, list):
            return answer.pop(0) if len(answer) > 1 else answer[0]
        return answer
