"""What the doctor says of what is missing."""

from __future__ import annotations

from lab import doctor
from lab.installing import pip_install


def test_a_missing_package_says_what_it_is_needed_for(monkeypatch) -> None:
    monkeypatch.setitem(doctor.PACKAGES, "no-such-package-here", "nothing at all")
    assert doctor.examine()["no-such-package-here"] == (
        f"missing, needed for nothing at all: {pip_install('no-such-package-here')}"
    )
