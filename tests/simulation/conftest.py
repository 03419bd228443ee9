"""How far Hypothesis goes when it is asked to go far: `--hypothesis-profile=long`."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("long", max_examples=3000, stateful_step_count=80, deadline=None)
