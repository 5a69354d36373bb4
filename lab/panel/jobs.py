"""What a panel was asked to do, and how all of it is held, let go and stopped."""

from __future__ import annotations

from lab.panel.worker import Job, Task


class Jobs(list["Job | Task"]):
    """In the order in which they were asked for, ended or not, shown yet or not."""

    @property
    def unfinished(self) -> list[Job | Task]:
        return [job for job in self if not job.done.is_set()]

    @property
    def paused(self) -> bool:
        return any(not job.going.is_set() for job in self.unfinished)

    @property
    def told(self) -> bool:
        """Whether the end of each has been heard of."""
        return all(job.told.is_set() for job in self)

    def take(self, job: Job | Task) -> None:
        """One more; it is held where the others are."""
        if self.paused:
            job.going.clear()
        self.append(job)

    def stop(self) -> None:
        for job in self.unfinished:
            job.stop()

    def hold(self) -> None:
        for job in self.unfinished:
            job.going.clear()

    def go_on(self) -> None:
        for job in self.unfinished:
            job.going.set()

    def forget_ended(self) -> None:
        self[:] = self.unfinished
